"""Settings: defaults, then `streamer.toml` or `[tool.streamer]` in `pyproject.toml`, then the
environment: `STREAMER_STORE=…`, `STREAMER_PLUGINS__JWT__ISSUER=…`."""

import difflib
import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from streamer_core.errors import ConfigurationError
from streamer_core.model.duration import to_ms

PREFIX = "STREAMER_"
_PLUGIN_PREFIX = "STREAMER_PLUGINS__"
_LISTS = frozenset({"handlers", "plugins"})

Ms = Annotated[int, BeforeValidator(to_ms)]


class CoreSettings(BaseModel):
    """The `[streamer]` section. Durations are written `"200ms"`, `"5s"`, `"7d"`, or in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str = "sqlite"
    transport: str = "local"
    handlers: tuple[str, ...] = ()
    plugins: tuple[str, ...] | None = None
    frozen: str | None = None
    allow_query_token: bool = False
    async_threshold: Ms = 5_000
    sync_limit: Ms = Field(default=29_000, gt=0)
    max_delay: Ms = 30 * 86_400_000
    keep: Ms = Field(default=7 * 86_400_000, gt=0)
    lease: Ms = Field(default=30_000, gt=0)
    heartbeat: Ms = Field(default=2_000, gt=0)
    cancel_grace: Ms = 30_000
    connection_life: Ms = Field(default=7_200_000, gt=0)
    progress_interval: Ms = 200
    progress_keep: Ms = 1_000
    chunk_interval: Ms = 50
    chunk_buffer: int = Field(default=64, gt=0)
    unsent_after: Ms = 5_000
    max_message_bytes: int = Field(default=128 * 1024, ge=1024)

    @model_validator(mode="after")
    def _heartbeat_comes_before_the_lease_ends(self) -> Self:
        if self.heartbeat >= self.lease:
            raise ValueError("heartbeat: must be shorter than lease, and better a small part of it")
        return self


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of one start.

    Args:
        core: the `[streamer]` section.
        plugins: the `[plugins.<name>]` sections, not yet checked: each plugin knows its own.
        source: the file they came from, or None.
        digest: SHA-256 of what the file said; the environment is left out, since a deployment's
            differs from its build's.
    """

    core: CoreSettings = field(default_factory=CoreSettings)
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
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
        environ = os.environ if environ is None else environ
        _overlay(core, plugins, environ)
        return cls(core=_checked(core, source), plugins=plugins, source=source, digest=digest)

    @classmethod
    def of(
        cls, core: Mapping[str, Any] | None = None, plugins: Mapping[str, Any] | None = None
    ) -> "Settings":
        """Make settings from values alone, as tests and scripts do."""
        return cls(core=_checked(dict(core or {}), None), plugins=dict(plugins or {}))


def validate_section(model: type[BaseModel], section: Mapping[str, Any], where: str) -> Any:
    """Check a section against its pydantic model.

    Raises:
        ConfigurationError: names the setting, what is wrong and, for a misspelt one, what is meant.
    """
    try:
        return model.model_validate(dict(section))
    except ValidationError as error:
        raise ConfigurationError(
            "; ".join(_sentence(model, where, problem) for problem in error.errors())
        ) from None


def _sentence(model: type[BaseModel], where: str, problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if not name:
        return f"{where} {problem['msg'].removeprefix('Value error, ')}"
    if problem["type"] == "tuple_type":
        return f'{where} {name}: write a list, as in {name} = ["…"]'
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name, list(model.model_fields), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {_names(model)}"
        return f"{where} {name}: there is no such setting; {hint}"
    # The value itself is left out: it may be a secret.
    return f"{where} {name}: {problem['msg'].removeprefix('Value error, ')}"


def _names(model: type[BaseModel]) -> str:
    return ", ".join(sorted(model.model_fields)) or "none"


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
    known = CoreSettings.model_fields
    if name in _LISTS:
        core[name] = [part.strip() for part in text.split(",") if part.strip()]
    elif name in known:
        core[name] = text
    elif close := difflib.get_close_matches(name, known, n=1, cutoff=0.85):
        raise ConfigurationError(
            f"{key}: there is no such setting; did you mean {PREFIX}{close[0].upper()}?"
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
        return json.loads(text)
    except ValueError:
        return text


def _checked(core: Mapping[str, Any], source: Path | None) -> CoreSettings:
    where = f"{source}: [streamer]" if source else "[streamer]"
    settings: CoreSettings = validate_section(CoreSettings, core, where)
    return settings
