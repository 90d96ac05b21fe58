"""What every family of verbs stands on: one writer, the readers, the notes of what was sent."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from streamer_core.errors import StoreError
from streamer_core.ports import Store
from streamer_core.ports.clock import Clock
from streamer_plugin_sqlite.database import (
    Database,
    Synchronous,
    connect,
    create,
    located,
    unusable,
)
from streamer_plugin_sqlite.doorbell import Doorbells
from streamer_plugin_sqlite.faults import translated_errors
from streamer_plugin_sqlite.feed import SqliteFeed
from streamer_plugin_sqlite.log import Log
from streamer_plugin_sqlite.readers import Readers
from streamer_plugin_sqlite.schema import migrate
from streamer_plugin_sqlite.sent import SentNotes
from streamer_plugin_sqlite.turnstile import Turnstile
from streamer_plugin_sqlite.writer import Writer

T = TypeVar("T")


class Base(Store):
    """An open file.

    Args:
        path: of the database; made where there is none.
        clock: gives `now`.
        synchronous: FULL: an acknowledged write outlives a power cut; NORMAL: a crash of the
            process, and a power cut may cost the last moments.
        busy_timeout_ms: how long a write waits for a program that is not Streamer.

    Raises:
        ConfigurationError: the path cannot be used, or a newer version wrote the file.
    """

    def __init__(
        self,
        path: str | Path,
        clock: Clock,
        *,
        synchronous: Synchronous = "FULL",
        busy_timeout_ms: int = 5_000,
    ) -> None:
        super().__init__(clock)
        self.path = located(path)
        self._pid = os.getpid()
        self._synchronous = synchronous
        self._busy_timeout_ms = busy_timeout_ms
        turnstile = self._turnstile()
        try:
            with turnstile:
                db, log = self._open()
        except BaseException:
            turnstile.close()
            raise
        self._bells = Doorbells(_beside(self.path, ".feeds"))
        self._sent = SentNotes(self._flush)
        self._log = log
        self._writer = Writer(db, turnstile, log, extra=self._sent.take, fed=self._bells.ring)
        self._readers = Readers(self._connect)
        self._feeds: list[SqliteFeed] = []

    def _write(self, write: Callable[[Database], T]) -> T:
        """Run a write in a transaction; return when it is durable."""
        self._check_process()
        return self._writer.submit(write)

    def _read(self, read: Callable[[Database], T]) -> T:
        """Run a read; return when what it has seen is durable."""
        found = self._peek(read)
        if self._log is not None:
            with translated_errors():
                self._log.sync()
        return found

    def _peek(self, read: Callable[[Database], T]) -> T:
        """Run a read of what may not be durable yet: nobody is told of it."""
        self._check_process()
        return self._readers.run(read)

    def _flush(self) -> None:
        """Write what was noted; a note that cannot be written costs a repeated send."""
        with suppress(StoreError):
            self._writer.submit(lambda _: None)

    def _inherited(self) -> bool:
        return os.getpid() != self._pid

    def _check_process(self) -> None:
        if self._inherited():
            raise StoreError(
                f"{self.path} was opened before a fork; open the store in the process that uses it"
            )

    def _turnstile(self) -> Turnstile:
        try:
            return Turnstile(_beside(self.path, ".lock"))
        except OSError as error:
            raise unusable(self.path, error) from error

    def _open(self) -> tuple[Database, Log | None]:
        """Open or make the file; the turnstile is held."""
        try:
            create(self.path)
            db = self._connect()
            try:
                migrate(db, self.path)
                return db, self._own_log(db)
            except BaseException:
                db.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise unusable(self.path, error) from error

    def _own_log(self, db: Database) -> Log | None:
        """Take over what `synchronous = FULL` does, where processes can take turns."""
        if self._synchronous != "FULL" or not Turnstile.supported:
            return None
        log = Log(_beside(self.path, "-wal"), counts=_beside(self.path, ".lock"))
        db.execute("PRAGMA synchronous = NORMAL")
        return log

    def _connect(self) -> Database:
        return connect(
            self.path, synchronous=self._synchronous, busy_timeout_ms=self._busy_timeout_ms
        )


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
