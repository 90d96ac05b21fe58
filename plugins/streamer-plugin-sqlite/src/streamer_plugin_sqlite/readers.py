"""Connections for reading: each read has one to itself, and leaves it to the next."""

import threading
from collections.abc import Callable
from typing import TypeVar

from streamer_core.errors import StoreError
from streamer_plugin_sqlite.database import Database
from streamer_plugin_sqlite.faults import translated_errors

T = TypeVar("T")


class Readers:
    """As many connections as there were reads at once.

    A pool and not one connection for each thread: threads end without a word, and a connection
    that they leave behind is never closed.

    Args:
        connect: opens a connection.
    """

    def __init__(self, connect: Callable[[], Database]) -> None:
        self._connect = connect
        self._mutex = threading.Lock()
        self._free: list[Database] = []
        self._closed = False

    def run(self, read: Callable[[Database], T]) -> T:
        """Run a read; each statement sees all that was committed before it.

        Raises:
            StoreError: SQLite failed, or the store is closed.
        """
        with translated_errors():
            db = self._take()
            try:
                return read(db)
            finally:
                self._give_back(db)

    def close(self) -> None:
        """Close the free ones now, the others when they are given back."""
        with self._mutex:
            self._closed = True
            free, self._free = self._free, []
        for db in free:
            db.close()

    def _take(self) -> Database:
        with self._mutex:
            if self._closed:
                raise StoreError("the store is closed")
            if self._free:
                return self._free.pop()
        db = self._connect()
        db.execute("PRAGMA query_only = ON")
        return db

    def _give_back(self, db: Database) -> None:
        with self._mutex:
            if not self._closed:
                self._free.append(db)
                return
        db.close()
