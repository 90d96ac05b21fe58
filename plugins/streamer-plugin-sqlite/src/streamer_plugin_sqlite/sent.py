"""Notes of what was sent, written with the next transaction that comes along.

A note alone is not worth an fsync: losing one costs a repeated send. Where no write comes along, a
thread of its own writes them after a moment, so that none lies about for long.
"""

import threading
from collections.abc import Callable

from streamer_plugin_sqlite.database import Database

_LINGER_S = 0.05


class SentNotes:
    """The newest `sent_seq` of each request that is not written yet.

    Args:
        flush: makes a transaction, which takes the notes along.
    """

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self._mutex = threading.Lock()
        self._notes: dict[str, int] = {}
        self._noted = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, ref: str, seq: int) -> None:
        """Remember that all updates up to `seq` were sent."""
        with self._mutex:
            self._notes[ref] = max(seq, self._notes.get(ref, 0))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._linger, name="streamer-sqlite-sent", daemon=True
                )
                self._thread.start()
        self._noted.set()

    def take(self) -> Callable[[Database], None] | None:
        """Give a write of all notes, where there are any, and forget them."""
        if not self._notes:
            return None
        with self._mutex:
            notes, self._notes = self._notes, {}
        rows = [(seq, ref) for ref, seq in notes.items()]
        return lambda db: _write(db, rows)

    def flush(self) -> None:
        """Write the notes now, for a read that shows them."""
        if self._notes:
            self._flush()

    def close(self) -> None:
        """Write what is left and end the thread."""
        self._closing.set()
        self._noted.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _linger(self) -> None:
        while not self._closing.is_set():
            self._noted.wait()
            self._noted.clear()
            if not self._closing.wait(_LINGER_S):
                self.flush()


def _write(db: Database, rows: list[tuple[int, str]]) -> None:
    db.executemany(
        "UPDATE requests SET sent_seq = max(sent_seq, min(?, last_seq)) WHERE ref = ?", rows
    )
