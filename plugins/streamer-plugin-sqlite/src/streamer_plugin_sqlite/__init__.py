"""Streamer's embedded store: durable requests in one SQLite file."""

from pathlib import Path
from typing import Any, Literal

from streamer_core.markers import hookimpl
from streamer_core.model.ids import tenant_part
from streamer_core.model.manifest import Manifest
from streamer_core.model.tables import OwnTables
from streamer_core.ports import Clock, Store
from streamer_core.records import record
from streamer_core.sections import Ms
from streamer_plugin_sqlite.store import SqliteStore

__all__ = ["SqlitePlugin", "SqliteStore"]

_LONGEST_BUSY_MS = 600_000


class SqlitePlugin:
    """Opens the store named `sqlite`."""

    @record
    class Settings:
        """`[plugins.sqlite]`.

        Args:
            path: of the database file, from the project's folder; its directory is made where
                there is none.
            synchronous: FULL: an acknowledged write outlives a power cut; NORMAL: it outlives a
                crash of the process, but a power cut may cost the last moments.
            busy_timeout: how long a write waits for a program that is not Streamer.
        """

        path: Path = Path(".streamer/streamer.db")
        synchronous: Literal["FULL", "NORMAL"] = "FULL"
        busy_timeout: Ms = 5_000

        def __post_init__(self) -> None:
            if self.busy_timeout > _LONGEST_BUSY_MS:
                raise ValueError("busy_timeout: must be at most 10 minutes")

    manifest = Manifest()

    def __init__(self, settings: Settings, app: Any) -> None:
        self.settings = settings
        self._root: Path = app.settings.root

    @hookimpl
    def streamer_open_store(self, name: str, clock: Clock) -> Store | None:
        """Open the file, where the store asked for is this one."""
        return self._opened(self._path, clock) if name == "sqlite" else None

    @hookimpl
    def streamer_open_tenant_store(
        self, name: str, clock: Clock, tables: OwnTables
    ) -> Store | None:
        """Open a tenant's own file, beside the other, wherever its tables are elsewhere."""
        if name != "sqlite":
            return None
        stem = f"{self._path.stem}-{tenant_part(tables.tenant)}"
        return self._opened(self._path.with_stem(stem), clock)

    @property
    def _path(self) -> Path:
        return self._root / self.settings.path.expanduser()

    def _opened(self, path: Path, clock: Clock) -> Store:
        return SqliteStore(
            path,
            clock,
            synchronous=self.settings.synchronous,
            busy_timeout_ms=self.settings.busy_timeout,
        )
