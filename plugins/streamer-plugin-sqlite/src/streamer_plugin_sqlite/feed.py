"""A reader of the change feed."""

import threading
import time
from collections.abc import Callable, Sequence

from streamer_core.ports import Change, Feed
from streamer_plugin_sqlite import changes
from streamer_plugin_sqlite.doorbell import Doorbell
from streamer_plugin_sqlite.readers import Readers


class SqliteFeed(Feed):
    """Reads the `changes` table from where it stood at the opening; waits on a doorbell.

    Args:
        readers: for reading.
        bell: rings after commits that fed changes; closed with the feed.
        closed: called once, at the closing.
    """

    def __init__(
        self, readers: Readers, bell: Doorbell, closed: Callable[["SqliteFeed"], None]
    ) -> None:
        self._readers = readers
        self._bell = bell
        self._closing = closed
        self._reading = threading.Lock()
        self._closed = False
        self._position = readers.run(changes.newest)

    def get(self, timeout_s: float) -> Sequence[Change]:
        """Wait for changes without polling; empty after `timeout_s`, or once closed."""
        deadline = time.monotonic() + timeout_s
        if not self._reading.acquire(timeout=max(0.0, timeout_s)):
            return ()
        try:
            while not self._closed:
                if found := self._next():
                    return found
                if (left := deadline - time.monotonic()) <= 0:
                    break
                self._bell.wait(left)
            return ()
        finally:
            self._reading.release()

    def close(self) -> None:
        """End it; a waiting `get` returns at once."""
        if self._closed:
            return
        self._closed = True
        self._bell.ring()
        with self._reading:
            self._bell.close()
        self._closing(self)

    def _next(self) -> Sequence[Change]:
        self._position, found = self._readers.run(lambda db: changes.after(db, self._position))
        return found
