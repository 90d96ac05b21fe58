"""Whose turn it is to write, among the processes that share the file.

SQLite's own busy handler sleeps and tries again, so that a process which commits all the time
starves the others. Here each transaction holds an advisory lock on a file beside the database: the
kernel queues who waits. SQLite's lock still guards the file itself.
"""

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: SQLite's busy timeout alone
    fcntl = None  # type: ignore[assignment]


class Turnstile:
    """An exclusive lock on a file; one thread at a time may use it.

    Attributes:
        supported: whether this system has such locks.
    """

    supported = fcntl is not None

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> None:
        if fcntl is not None:
            fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        if fcntl is not None:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)
