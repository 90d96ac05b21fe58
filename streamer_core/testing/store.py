"""A store that keeps everything in memory, and fails on request."""

from streamer_core.ports import Feed
from streamer_core.testing.memory.connections import ConnectionVerbs
from streamer_core.testing.memory.data import MemoryData
from streamer_core.testing.memory.faults import Faults, verb
from streamer_core.testing.memory.feed import FeedMode
from streamer_core.testing.memory.holding import RequestVerbs
from streamer_core.testing.memory.reading import ReadVerbs
from streamer_core.testing.memory.small import SmallVerbs

__all__ = ["Faults", "FeedMode", "MemoryData", "MemoryStore"]


class MemoryStore(ConnectionVerbs, RequestVerbs, ReadVerbs, SmallVerbs):
    """The whole port in memory, for tests.

    ```python
    store = MemoryStore(ManualClock())
    store.faults.fail_next("append", Throttled("slow down"))           # before it took effect
    store.faults.fail_next("finish", StoreError("lost"), after=True)   # after: crash past commit
    store.data.hub.mode = FeedMode.DUPLICATE                           # a feed as bad as a real one
    other = MemoryStore(ManualClock(), store.data)                     # a second process's view
    ```
    """

    @verb
    def check(self) -> None:
        """Raise where a fault says so, or the store is closed."""

    @verb
    def open_feed(self) -> Feed:
        """Read the changes from now on."""
        feed = self.data.hub.open()
        self._opened.append(feed)
        return feed

    def close(self) -> None:
        """Close the feeds opened here; the data stays for whoever else has it."""
        for feed in self._opened:
            feed.close()
        self._closed = True
