"""Find the installed plugins, check them, order them, make them.

A plugin is a class found by the entry point group `streamer.plugins`. It is made with
`(settings, app)`: its own checked section and the application. It may have

- `Settings`: a frozen dataclass or a pydantic model of its section; without one it takes none;
- `manifest`: a `Manifest`: what it requires, what it goes before or after, what it conflicts with;
- methods marked `@hookimpl`.
"""

import graphlib
import importlib
import traceback
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import pluggy

from streamer_core import implementations
from streamer_core.errors import ConfigurationError
from streamer_core.hooks import Manager
from streamer_core.installed import PLUGINS, Entry, entry_points
from streamer_core.model.manifest import Manifest
from streamer_core.ports import Store
from streamer_core.records import record
from streamer_core.settings import Settings, validate_section

_NO_MANIFEST = Manifest()
_IMPORTLIB = str(Path(importlib.__file__).parent)


@record
class Found:
    """A plugin that is installed: where its class is and which distribution brought it."""

    name: str
    value: str
    distribution: str = "unknown"
    version: str = ""

    @property
    def source(self) -> str:
        """For sentences: `streamer-plugin-x 1.2 (plugin 'x')`."""
        return f"{self.distribution} {self.version} (plugin {self.name!r})"

    def load(self) -> type[Any]:
        """Import the class.

        Raises:
            ConfigurationError: it cannot be imported, or is no class.
        """
        try:
            module, _, names = self.value.partition("[")[0].replace(" ", "").partition(":")
            cls = reduce(getattr, filter(None, names.split(".")), importlib.import_module(module))
        except (Exception, SystemExit) as error:
            raise ConfigurationError(
                f"{self.source} cannot be imported: {cause(error)}; "
                f"mend or uninstall it, or leave it out of [streamer] plugins"
            ) from error
        if not isinstance(cls, type):
            raise ConfigurationError(f"{self.source}: {self.value} is not a class")
        return cls


def cause(error: BaseException) -> str:
    """Say what went wrong while a module was imported, and in which line of it."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return said  # names its own file and line
    frames = traceback.extract_tb(error.__traceback__)
    lines = [one for one in frames if not one.filename.startswith(("<frozen", _IMPORTLIB))]
    # The first frame is the one that asked for the import.
    return (
        f"{said} ({Path(lines[-1].filename).name}, line {lines[-1].lineno})" if lines[1:] else said
    )


def installed(entries: Iterable[Entry]) -> list[Found]:
    """List the plugins among entry points, two of one name included."""
    return [
        Found(name=one.name, value=one.value, distribution=one.distribution, version=one.version)
        for one in entries
        if one.group == PLUGINS
    ]


def discover(wanted: Collection[str] | None, entries: Iterable[Entry] | None = None) -> list[Found]:
    """List the installed plugins, by name; only the wanted ones, where some are named.

    Args:
        wanted: their names; None: all.
        entries: the entry points, where they have been read already.

    Raises:
        ConfigurationError: a wanted one is not installed, or two answer to one name.
    """
    found: dict[str, Found] = {}
    for plugin in installed(entry_points() if entries is None else entries):
        if wanted is not None and plugin.name not in wanted:
            continue
        other = found.setdefault(plugin.name, plugin)
        if other.value != plugin.value:
            raise ConfigurationError(
                f"two plugins are named {plugin.name!r}: {other.source} and {plugin.source}; "
                f"uninstall one"
            )
    for name in wanted or ():
        if name not in found:
            raise ConfigurationError(
                f"[streamer] plugins names {name!r}, which is not installed; "
                f"try: pip install streamer-plugin-{name}"
            )
    return [found[name] for name in sorted(found)]


def ordered(manifests: Mapping[str, Manifest]) -> list[str]:
    """Sort the plugins: what one requires or goes after comes first; then by name.

    Raises:
        ConfigurationError: something required is missing, two conflict, or the order is a circle.
    """
    graph: dict[str, set[str]] = {name: set() for name in manifests}
    for name, manifest in manifests.items():
        _check_neighbours(name, manifest, manifests)
        graph[name].update(set(manifest.requires) | (set(manifest.after) & manifests.keys()))
        for other in set(manifest.before) & manifests.keys():
            graph[other].add(name)
    sorter = graphlib.TopologicalSorter(graph)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        circle = " -> ".join(error.args[1])
        raise ConfigurationError(
            f"the plugins' manifests ask for an impossible order: {circle}; "
            f"mend `before` or `after` of one"
        ) from None
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order.extend(ready)
        sorter.done(*ready)
    return order


def _check_neighbours(name: str, manifest: Manifest, loaded: Collection[str]) -> None:
    for other in manifest.requires:
        if other not in loaded:
            raise ConfigurationError(
                f"plugin {name!r} requires {other!r}, which is not loaded; "
                f"try: pip install streamer-plugin-{other}"
            )
    for other in manifest.conflicts:
        if other in loaded:
            raise ConfigurationError(
                f"plugins {name!r} and {other!r} conflict; uninstall one, "
                f"or name those to load in [streamer] plugins"
            )


def manager_of(
    found: Sequence[Found], settings: Settings, app: object, *, checked: bool = False
) -> tuple[Manager, list[str]]:
    """Import, check, order and make the plugins; give their manager and their order.

    Where they were `checked` before, their hook implementations are taken as they are.
    """
    _check_sections(found, settings)
    classes = {plugin.name: plugin.load() for plugin in found}
    order = ordered({name: _manifest(name, cls) for name, cls in classes.items()})
    sources = {plugin.name: plugin for plugin in found}
    manager = Manager()
    # pluggy asks the last one registered first.
    all_made = [(name, made(sources[name], classes[name], settings, app)) for name in order]
    for name, plugin in reversed(all_made):
        register(manager, name, plugin, sources[name].source, checked=checked)
    implementations.check_pending(manager)
    return manager, order


def _check_sections(found: Sequence[Found], settings: Settings) -> None:
    """Refuse a section of a plugin that is not loaded, unless the file itself names that plugin:
    then it is the environment, or the frozen file, that has others loaded here."""
    names = {plugin.name for plugin in found} | set(settings.named or ())
    for section in settings.plugins:
        if section not in names:
            is_here = any(one.name == section for one in installed(entry_points()))
            add = f"add {section!r} to [streamer] plugins"
            remedy = add if is_here else f"try: pip install streamer-plugin-{section}"
            raise ConfigurationError(
                f"[plugins.{section}]: the plugin is not loaded; {remedy}, or take the section out"
            )


def _manifest(name: str, cls: type[Any]) -> Manifest:
    manifest = getattr(cls, "manifest", _NO_MANIFEST)
    if not isinstance(manifest, Manifest):
        raise ConfigurationError(
            f"plugin {name!r}: {cls.__qualname__}.manifest must be a streamer_core.plugin.Manifest"
        )
    for field, names in asdict(manifest).items():
        if isinstance(names, str) or not all(isinstance(one, str) for one in names):
            raise ConfigurationError(
                f"plugin {name!r}: {field} of its manifest names plugins: write {field}=('x',)"
            )
    return manifest


def made(found: Found, cls: type[Any], settings: Settings, app: object) -> object:
    """Check a plugin's section and make the plugin.

    Raises:
        ConfigurationError: it cannot be made; names it.
    """
    section = settings.plugins.get(found.name, {})
    model = getattr(cls, "Settings", None)
    if model is None and section:
        raise ConfigurationError(f"[plugins.{found.name}]: {found.source} takes no settings")
    if model is not None and not _is_settings(model):
        raise ConfigurationError(f"{found.source}: Settings is no dataclass and no pydantic model")
    where = f"{settings.source or 'settings'}: [plugins.{found.name}]"
    checked = validate_section(model, section, where) if model else None
    try:
        return cls(checked, app)
    except ConfigurationError as error:
        raise ConfigurationError(f"{found.source}: {error}") from error
    except Exception as error:
        raise ConfigurationError(
            f"{found.source} cannot be made: {type(error).__name__}: {error}"
        ) from error


def _is_settings(kind: Any) -> bool:
    return isinstance(kind, type) and (is_dataclass(kind) or hasattr(kind, "model_validate"))


def register(
    manager: pluggy.PluginManager, name: str, plugin: object, source: str, *, checked: bool = False
) -> None:
    """Add a plugin, its hook implementations checked if they were not before."""
    if not checked:
        implementations.check(plugin, source)
    try:
        manager.register(plugin, name)
    except (pluggy.PluginValidationError, ValueError) as error:
        raise ConfigurationError(f"{source}: {error}") from error


def wrap_store(manager: Manager, store: Store) -> Store:
    """Let every plugin put its own store around the store; the first plugin's is the outermost.

    Raises:
        ConfigurationError: one cannot; names it.
    """
    for one in reversed(manager.implementations("streamer_wrap_store")):
        given = (store,) if "store" in one.argnames else ()
        try:
            answer = one.function(*given)
        except Exception as error:
            said = str(error) if isinstance(error, ConfigurationError) else cause(error)
            raise ConfigurationError(
                f"plugin {one.plugin_name!r}: streamer_wrap_store: {said}"
            ) from error
        if not isinstance(answer, Store | None):
            raise ConfigurationError(
                f"plugin {one.plugin_name!r} wraps the store as {type(answer).__name__}; "
                f"it must be a streamer_core.ports.Store"
            )
        store = answer or store
    return store


def start_all(manager: pluggy.PluginManager, app: object) -> None:
    """Let every plugin begin, in order.

    Raises:
        ConfigurationError: one cannot; names it.
    """
    for implementation in reversed(manager.hook.streamer_startup.get_hookimpls()):
        given = (app,) if "app" in implementation.argnames else ()
        try:
            implementation.function(*given)
        except ConfigurationError:
            raise
        except Exception as error:
            raise ConfigurationError(
                f"plugin {implementation.plugin_name!r} cannot start: "
                f"{type(error).__name__}: {error}"
            ) from error
