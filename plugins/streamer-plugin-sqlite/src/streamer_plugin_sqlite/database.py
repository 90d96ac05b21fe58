"""Opening the file: where it may lie, and how its connections are set up."""

import errno
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Literal

from streamer_core.errors import ConfigurationError

Synchronous = Literal["FULL", "NORMAL"]

_STATEMENTS = 256
_PRIVATE = 0o600
_WAL_PAGES = 4000  # 16 MB of log between checkpoints: fewer of them, each moves more at once
_CACHE_KB = 16_384
_WAL_BYTES_KEPT = 64 * 1024 * 1024


class Database(sqlite3.Connection):
    """A connection that remembers whether the transaction under way feeds changes."""

    fed = False


def located(path: str | Path) -> Path:
    """Give the real path of the database; makes its directory.

    Raises:
        ConfigurationError: no database can lie there.
    """
    name = Path(path).name
    if name in {"", ":memory:"} or any(part.startswith("file:") for part in Path(path).parts):
        raise ConfigurationError(
            f"[plugins.sqlite] path: {name!r} is no file that outlives the process; write a "
            f'file name, as in ".streamer/streamer.db" (for tests: streamer_core.testing)'
        )
    try:
        real = Path(path).expanduser().resolve()
        real.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise unusable(path, error) from error
    return real


def create(path: Path) -> None:
    """Make an empty file of mode 0600 where there is none, and see that it may be written.

    An existing file is not opened: closing it would drop the POSIX locks that SQLite holds on it
    for other connections of this process (https://sqlite.org/howtocorrupt.html, 2.2).

    Raises:
        OSError: it cannot be made or written.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE))
    if not os.access(path, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def unusable(path: str | Path, error: Exception) -> ConfigurationError:
    """Give the error of a path where no database can be opened."""
    return ConfigurationError(
        f"[plugins.sqlite] path: {path} cannot be used: {error}; name a file on a local disk "
        f"that this user may write"
    )


def connect(path: Path, *, synchronous: Synchronous, busy_timeout_ms: int) -> Database:
    """Open a connection that any thread may use, one at a time."""
    db = sqlite3.connect(
        path,
        timeout=busy_timeout_ms / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
        factory=Database,
    )
    try:
        _keep_log(db)
        db.execute(f"PRAGMA synchronous = {synchronous}")
        db.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        db.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")
    except BaseException:
        db.close()
        raise
    return db


def _keep_log(db: Database) -> None:
    if db.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise sqlite3.OperationalError("this file system cannot keep a write-ahead log")
