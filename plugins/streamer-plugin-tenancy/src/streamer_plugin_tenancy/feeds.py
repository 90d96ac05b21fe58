"""The change feeds of several stores as one."""

import queue
import threading
from collections.abc import Sequence

from streamer_core.errors import StoreError
from streamer_core.log import get_logger
from streamer_core.ports import Change, Feed

_LOOK_S = 1.0
_PAUSE_S = 10.0


class MergedFeed(Feed):
    """Reads each feed in a thread of its own, and gives what any of them has.

    One that cannot be read is tried again after ten seconds; what it misses the sweeper finds.

    Args:
        feeds: the stores' own, closed with this one.
    """

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds = feeds
        self._closed = threading.Event()
        self._read: queue.SimpleQueue[Sequence[Change]] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(
                target=self._bring, args=[feed], name="streamer-tenant-feed", daemon=True
            )
            for feed in feeds
        ]
        for thread in self._threads:
            thread.start()

    def get(self, timeout_s: float) -> Sequence[Change]:
        """Wait for changes of any; empty after `timeout_s`, or once closed."""
        if self._closed.is_set():
            return ()
        try:
            return self._read.get(timeout=timeout_s)
        except queue.Empty:
            return ()

    def close(self) -> None:
        """End them all; a waiting `get` returns at once."""
        self._closed.set()
        for feed in self._feeds:
            feed.close()
        self._read.put(())
        for thread in self._threads:
            thread.join()

    def _bring(self, feed: Feed) -> None:
        while not self._closed.is_set():
            try:
                found = feed.get(_LOOK_S)
            except StoreError:
                get_logger().exception("a change feed cannot be read")
                self._closed.wait(_PAUSE_S)
            else:
                if found:
                    self._read.put(found)
