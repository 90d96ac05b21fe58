"""Settings: defaults, then `streamer.toml` or `[tool.streamer]` in `pyproject.toml`, then the
environment: `STREAMER_STORE=…`, `STREAMER_PLUGINS__JWT__ISSUER=…`."""

import hashlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Any

from streamer_core.errors import ConfigurationError
from streamer_core.model.message import Priority
from streamer_core.records import record
from streamer_core.sections import Ms, Told, nearest, validate_section

__all__ = ["PREFIX", "CoreSettings", "Ms", "Settings", "validate_section"]

PREFIX = "STREAMER_"
_PLUGIN_PREFIX = "STREAMER_PLUGINS__"
_LISTS = frozenset({"handlers", "plugins", "lanes", "keep_claims"})
_AS_JSON = frozenset({"allow_query_token", "chunk_buffer", "max_message_bytes"})
_MORE_THAN_NOTHING = (
    "sync_limit",
    "keep",
    "lease",
    "heartbeat",
    "connection_life",
    "chunk_buffer",
)
_LEAST_MESSAGE_BYTES = 1024


@record
class CoreSettings:
    """The `[streamer]` section. Durations are written `"200ms"`, `"5s"`, `"7d"`, or in seconds."""

    store: str = "sqlite"
    transport: str = "local"
    handlers: tuple[str, ...] = ()
    plugins: tuple[str, ...] | None = None
    frozen: str | None = None
    lanes: tuple[Priority, ...] = (Priority.HIGH, Priority.NORMAL, Priority.LOW)
    allow_query_token: bool = False
    keep_claims: tuple[str, ...] = ()
    async_threshold: Ms = 5_000
    sync_limit: Ms = 29_000
    max_delay: Ms = 30 * 86_400_000
    keep: Ms = 7 * 86_400_000
    lease: Ms = 30_000
    heartbeat: Ms = 2_000
    cancel_grace: Ms = 30_000
    connection_life: Ms = 7_200_000
    progress_interval: Ms = 200
    progress_keep: Ms = 1_000
    chunk_interval: Ms = 50
    chunk_buffer: int = 64
    unsent_after: Ms = 5_000
    max_message_bytes: int = 128 * 1024


@record
class Settings:
    """All settings of one start.

    Args:
        core: the `[streamer]` section.
        plugins: the `[plugins.<name>]` sections, not yet checked: each plugin knows its own.
        named: the plugins that the file says are to be loaded, whatever the environment says.
        source: the file they came from, or None.
        digest: SHA-256 of what the file said; the environment is left out, since a deployment's
            differs from its build's.
    """

    core: CoreSettings = field(default_factory=CoreSettings)
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    named: tuple[str, ...] | None = None
    source: Path | None = None
    digest: str = ""

    @property
    def root(self) -> Path:
        """The project's folder: handlers are imported from it, relative paths begin there."""
        return self.source.parent if self.source else Path.cwd()

    @classmethod
    def load(
        cls, path: str | Path | None = None, *, environ: Mapping[str, str] | None = None
    ) -> "Settings":
        """Read the settings; without a path, from the first file found here or in a parent folder.

        Raises:
            ConfigurationError: a file cannot be read, or a value is wrong; names file and setting.
        """
        source = _given(Path(path)) if path else _find(Path.cwd())
        core, plugins = _sections(source) if source else ({}, {})
        canonical = json.dumps([core, plugins], sort_keys=True, default=str)
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        listed = core.get("plugins")
        named = tuple(listed) if isinstance(listed, list) else None
        environ = os.environ if environ is None else environ
        _overlay(core, plugins, environ)
        checked = _checked(core, source)
        return cls(core=checked, plugins=plugins, named=named, source=source, digest=digest)

    @classmethod
    def of(
        cls, core: Mapping[str, Any] | None = None, plugins: Mapping[str, Any] | None = None
    ) -> "Settings":
        """Make settings from values alone, as tests and scripts do."""
        return cls(core=_checked(dict(core or {}), None), plugins=dict(plugins or {}))


def _given(path: Path) -> Path:
    if path.is_dir():
        path = _in(path) or path / "streamer.toml"
    if not path.is_file():
        raise ConfigurationError(f"{path}: there is no such file; `streamer init` makes one")
    return path.resolve()


def _find(start: Path) -> Path | None:
    return next((found for folder in (start, *start.parents) if (found := _in(folder))), None)


def _in(folder: Path) -> Path | None:
    if (folder / "streamer.toml").is_file():
        return folder / "streamer.toml"
    project = folder / "pyproject.toml"
    has_section = project.is_file() and "streamer" in _read(project).get("tool", {})
    return project if has_section else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _sections(source: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    data = _read(source)
    if source.name == "pyproject.toml":
        core = _table(data.get("tool", {}).get("streamer", {}), source, "tool.streamer")
        # A list names the plugins to load; a table holds their settings.
        tables = core.pop("plugins") if isinstance(core.get("plugins"), dict) else {}
        where = "[tool.streamer.plugins.<name>]"
    else:
        core = _table(data.pop("streamer", {}), source, "streamer")
        tables = data.pop("plugins", {})
        where = "[plugins.<name>]"
        if data:
            raise ConfigurationError(
                f"{source}: unknown section [{next(iter(data))}]; write [streamer] or {where}"
            )
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        raise ConfigurationError(f"{source}: write a plugin's settings as a table, {where}")
    return core, {name: dict(table) for name, table in tables.items()}


def _table(value: Any, source: Path, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{source}: write [{name}] as a table")
    return dict(value)


def _overlay(
    core: dict[str, Any], plugins: dict[str, dict[str, Any]], environ: Mapping[str, str]
) -> None:
    for key, text in environ.items():
        if key.startswith(_PLUGIN_PREFIX):
            plugin, _, name = key.removeprefix(_PLUGIN_PREFIX).lower().partition("__")
            if not name:
                raise ConfigurationError(f"{key}: write {_PLUGIN_PREFIX}<PLUGIN>__<SETTING>")
            _put(plugins.setdefault(plugin, {}), name.split("__"), _value(text), key)
        elif key.startswith(PREFIX):
            _overlay_core(core, key, text)


def _overlay_core(core: dict[str, Any], key: str, text: str) -> None:
    name = key.removeprefix(PREFIX).lower()
    known = [one.name for one in fields(CoreSettings)]
    if name in _LISTS:
        core[name] = [part.strip() for part in text.split(",") if part.strip()]
    elif name in known:
        core[name] = _value(text) if name in _AS_JSON else text
    elif close := nearest(name, known, cutoff=0.85):
        raise ConfigurationError(
            f"{key}: there is no such setting; did you mean {PREFIX}{close.upper()}?"
        )


def _put(table: dict[str, Any], path: list[str], value: Any, key: str) -> None:
    *folders, name = path
    for folder in folders:
        table = table.setdefault(folder, {})
        if not isinstance(table, dict):
            raise ConfigurationError(f"{key}: {folder!r} is a value already, and no table")
    table[name] = value


def _value(text: str) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return Told(found) if type(found) is int else found


def _checked(core: Mapping[str, Any], source: Path | None) -> CoreSettings:
    where = f"{source}: [streamer]" if source else "[streamer]"
    settings: CoreSettings = validate_section(CoreSettings, core, where)
    if wrong := [f"{where} {what}" for what in _out_of_bounds(settings)]:
        raise ConfigurationError("; ".join(wrong))
    return settings


def _out_of_bounds(settings: CoreSettings) -> Iterator[str]:
    for name in _MORE_THAN_NOTHING:
        if getattr(settings, name) <= 0:
            yield f"{name}: must be more than nothing"
    if settings.max_message_bytes < _LEAST_MESSAGE_BYTES:
        yield f"max_message_bytes: must be at least {_LEAST_MESSAGE_BYTES}"
    if not settings.lanes:
        yield "lanes: name at least one of high, normal, low"
    if settings.heartbeat >= settings.lease:
        yield "heartbeat: must be shorter than lease, and better a small part of it"
