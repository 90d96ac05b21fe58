"""Try every installed plugin by itself, so that a broken one is named and hides no other."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pluggy

from streamer_core import plugins
from streamer_core.cli.project import Project, Unstarted
from streamer_core.errors import ConfigurationError
from streamer_core.installed import entry_points
from streamer_core.markers import PROJECT
from streamer_core.model.manifest import Manifest
from streamer_core.plugins import Found
from streamer_core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One installed plugin.

    Args:
        found: where it comes from.
        wanted: whether the settings let it load.
        hooks: those it implements; empty where it cannot be imported.
        problem: why it does not work; empty where it does.
    """

    found: Found
    wanted: bool
    hooks: tuple[str, ...] = ()
    problem: str = ""

    @property
    def status(self) -> str:
        """`on`, `off` or `broken`."""
        if self.problem:
            return "broken"
        return "on" if self.wanted else "off"


def installed() -> list[Found]:
    """List what is installed, wanted or not, two of one name included."""
    return sorted(set(plugins.installed(entry_points())), key=lambda one: (one.name, one.value))


def try_all(settings: Settings, app: Unstarted) -> list[Tried]:
    """Try each; where the settings name the plugins to load, the others are only imported."""
    found = installed()
    names = settings.core.plugins
    by_name = {one.name: one for one in found if names is None or one.name in names}
    return [_try(one, by_name, settings, app) for one in found]


def working(tried: list[Tried]) -> list[Found]:
    """Give those that are wanted and work."""
    return [one.found for one in tried if one.status == "on"]


def made(
    found: list[Found], settings: Settings, app: Unstarted
) -> tuple[pluggy.PluginManager, list[str]]:
    """Make the plugins, with no regard to the settings of others; give their manager and order.

    Raises:
        ConfigurationError: one does not work, or they do not work together.
    """
    names = {one.name for one in found}
    sections = {name: section for name, section in settings.plugins.items() if name in names}
    return plugins.manager_of(found, replace(settings, plugins=sections), app)


def _try(found: Found, wanted: Mapping[str, Found], settings: Settings, app: Unstarted) -> Tried:
    tried = Tried(found=found, wanted=found.name in wanted)
    try:
        tried = replace(tried, hooks=_hooks(found.load()))
        if tried.wanted:
            made(with_required(found, wanted), settings, app)
    except ConfigurationError as error:
        return replace(tried, problem=str(error))
    return tried


def _hooks(cls: type[object]) -> tuple[str, ...]:
    mark = f"{PROJECT}_impl"
    return tuple(name for name in dir(cls) if hasattr(getattr(cls, name, None), mark))


def with_required(found: Found, wanted: Mapping[str, Found]) -> list[Found]:
    """Add what a plugin requires, and what that requires."""
    needed, left = {found.name: found}, [found]
    while left:
        manifest = getattr(left.pop().load(), "manifest", None)
        for name in manifest.requires if isinstance(manifest, Manifest) else ():
            if name in wanted and name not in needed:
                needed[name] = wanted[name]
                left.append(wanted[name])
    return list(needed.values())


def project_plugins(project: Project) -> list[Tried]:
    """Try the plugins of a project; raises ConfigurationError where its settings are wrong."""
    return try_all(project.settings, project.unstarted)
