"""The change feed, and the ways in which a real one misbehaves."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from enum import Enum

from streamer_core.ports import Change, Feed


class FeedMode(Enum):
    """What happens to the records of a feed."""

    FAITHFUL = "faithful"
    DROP = "drop"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    DELAY = "delay"


class MemoryFeed(Feed):
    """A reader with a queue of its own."""

    def __init__(self, hub: "FeedHub", changed: threading.Condition) -> None:
        self._hub = hub
        self._changed = changed
        self._queue: deque[Change] = deque()
        self._closed = False

    def get(self, timeout_s: float) -> Sequence[Change]:
        """Wait for changes; empty after `timeout_s`, or once closed."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._queue and not self._closed:
                if not self._changed.wait(deadline - time.monotonic()):
                    break
            changes = tuple(self._queue)
            self._queue.clear()
            return changes

    def close(self) -> None:
        """End it; a waiting `get` returns at once."""
        with self._changed:
            self._closed = True
            self._hub.leave(self)
            self._changed.notify_all()

    def put(self, changes: Sequence[Change], *, newest_first: bool) -> None:
        """Queue changes; the hub holds the lock."""
        if newest_first:
            self._queue.extendleft(changes)
        else:
            self._queue.extend(changes)


class FeedHub:
    """Gives every change to every open feed.

    Args:
        lock: the store's own, so that a change is fed in the same step as its write.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._changed = threading.Condition(lock)
        self._feeds: list[MemoryFeed] = []
        self._held: list[Change] = []
        self.mode = FeedMode.FAITHFUL
        """How records are treated from now on; a test sets it."""

    def open(self) -> MemoryFeed:
        """Give a reader of the changes from now on."""
        with self._changed:
            feed = MemoryFeed(self, self._changed)
            self._feeds.append(feed)
            return feed

    def leave(self, feed: MemoryFeed) -> None:
        """Forget a reader; one that left before is no error."""
        if feed in self._feeds:
            self._feeds.remove(feed)

    def publish(self, *changes: Change) -> None:
        """Feed changes, as the mode has it."""
        with self._changed:
            if self.mode is FeedMode.DELAY:
                self._held.extend(changes)
            elif self.mode is not FeedMode.DROP:
                self._put(changes * 2 if self.mode is FeedMode.DUPLICATE else changes)

    def release(self) -> None:
        """Feed what `DELAY` held back."""
        with self._changed:
            held, self._held = self._held, []
            self._put(held)

    def _put(self, changes: Sequence[Change]) -> None:
        for feed in self._feeds:
            feed.put(changes, newest_first=self.mode is FeedMode.REORDER)
        if changes:
            self._changed.notify_all()
