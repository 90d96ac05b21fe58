"""What a run leaves behind: lines in a file, and a lock that the kernel drops with its process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamer_core import Context

EFFECTS = Path("effects.log")
_LOCKS = Path("locks")


def note(word: str, ctx: Context, *more: object) -> None:
    """Append one line, whole: a line this short goes out in a single write."""
    line = " ".join(map(str, (word, ctx.request_id, ctx.attempt, os.getpid(), *more)))
    fd = os.open(EFFECTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


@contextmanager
def run_of(ctx: Context) -> Iterator[None]:
    """Note a run's begin and end, and `overlap` where another run of the request still lives.

    A run lives until it has noted its end or its process is dead: both free the lock. So an overlap
    is noted exactly where a second begins while the first could still do something.
    """
    _LOCKS.mkdir(exist_ok=True)
    fd = os.open(_LOCKS / ctx.ref, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("overlap", ctx)
        note("begin", ctx)
        try:
            yield
        finally:
            note("end", ctx)
    finally:
        os.close(fd)
