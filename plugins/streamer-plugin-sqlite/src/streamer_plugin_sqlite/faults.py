"""SQLite's errors in Streamer's words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from streamer_core.errors import ItemTooLarge, StoreError, Throttled

_PRIMARY = 0xFF  # https://sqlite.org/rescode.html: the low byte of an extended code
_SENTENCES = {
    sqlite3.SQLITE_FULL: "the disk is full; nothing was written",
    sqlite3.SQLITE_READONLY: "the file cannot be written",
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore a backup",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
}
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise SQLite's and the system's errors as the store's."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise translated(error) from error


def translated(error: sqlite3.Error | OSError) -> StoreError:
    """Give the store's error for one of SQLite's, or of the system's."""
    if isinstance(error, OSError):
        return StoreError(f"the disk failed ({error})")
    code = (getattr(error, "sqlite_errorcode", None) or 0) & _PRIMARY
    if code in _BUSY:
        return Throttled("another process holds the database; try again")
    if code == sqlite3.SQLITE_TOOBIG or isinstance(error, sqlite3.DataError):
        return ItemTooLarge("SQLite cannot hold an item of this size")
    sentence = _SENTENCES.get(code)
    return StoreError(f"{sentence} ({error})" if sentence else f"SQLite failed: {error}")
