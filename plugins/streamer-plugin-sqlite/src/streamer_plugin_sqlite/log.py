"""Making commits durable without keeping the other processes waiting for the disk.

SQLite's `synchronous = FULL` syncs the write-ahead log in the middle of a commit, while the file is
locked: nobody writes while anybody waits for the disk. Here a commit only appends to the log (as
with `synchronous = NORMAL`, where SQLite syncs at checkpoints), the lock is let go, and the log is
synced before the commit is answered:

```
process A  ─lock─BEGIN a COMMIT─unlock─sync─> answer
process B              waits ...... ─lock─BEGIN b COMMIT─unlock─sync─> answer
```
The promise is the same: what was answered is durable, and so is all that was committed before it,
since one file holds the commits in order. Databases know it as early lock release (DeWitt et al.,
"Implementation Techniques for Main Memory Database Systems", 1984).

Commits are numbered in a page that the processes share, beside the number up to which the log is
known to be synced. Whoever finds its commit synced by another does not wait for the disk, and a
reader learns whether what it has read is durable yet.
"""

import mmap
import os
from pathlib import Path

from streamer_core.errors import StoreError
from streamer_plugin_sqlite.database import Database

_COMMITTED, _SYNCED = 0, 1
_BYTES = 16

_sync = getattr(os, "fdatasync", os.fsync)


class Log:
    """The write-ahead log of one database, and how far it is durable.

    Args:
        path: of the log; it lies there as long as a connection to its database is open.
        counts: a file that the processes share, to hold the two numbers.
    """

    def __init__(self, path: Path, counts: Path) -> None:
        fd = os.open(counts, os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.fstat(fd).st_size < _BYTES:
                os.pwrite(fd, bytes(_BYTES), 0)  # a hole could not be filled once the disk is full
            self._page = mmap.mmap(fd, _BYTES)
        finally:
            os.close(fd)
        self._counts = memoryview(self._page).cast("Q")  # read and written in one piece each
        # Now, not at the first commit: who opens a file late may not hear that a sync has failed.
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._failed = False
        self._closed = False

    def committed(self) -> int:
        """Number a commit; whoever calls holds the turnstile.

        After a power cut either number may be an older one: a new commit counts from the greater.
        """
        number = max(self._counts) + 1
        self._counts[_COMMITTED] = number
        return number

    def sync(self, number: int | None = None) -> None:
        """Wait until a commit, or all there have been, is durable.

        Raises:
            OSError: the disk failed; it is not known what became of the commits.
            StoreError: it is closed.
        """
        if self._closed:
            raise StoreError("the store is closed")
        through = self._counts[_COMMITTED]
        if self._counts[_SYNCED] >= (through if number is None else number):
            return
        try:
            _sync(self._fd)
        except OSError:
            self._failed = True
            raise
        # Another process may lower it again in this moment: that costs somebody a sync, no more.
        self._counts[_SYNCED] = max(through, self._counts[_SYNCED])

    def mend(self, db: Database) -> None:
        """After a failed sync, move all there is into the database, which SQLite syncs.

        The system may have dropped what it could not write and call the next sync a success
        (Rebello et al., "Can Applications Recover from fsync Failures?", 2020): a commit that
        follows in the log would be lost with it. Whoever calls holds the turnstile.

        Raises:
            OSError: not all could be moved.
        """
        if self._failed:
            busy, frames, moved = db.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
            if busy or frames != moved:
                raise OSError("the log could not be moved into the database after a failed sync")
            self._failed = False

    def close(self) -> None:
        """Let go of both files."""
        if self._closed:
            return
        self._closed = True
        os.close(self._fd)
        self._counts.release()
        self._page.close()
