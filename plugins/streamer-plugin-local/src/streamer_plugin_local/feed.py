"""The change feed, read in a thread, and the ways in which a real one misbehaves."""

import random
import threading
import time
from collections.abc import Callable, Sequence

from streamer_core.errors import StoreError
from streamer_core.log import get_logger
from streamer_core.ports import Change, Store
from streamer_plugin_local.settings import Faults

_LOOK_S = 1.0


class FeedReader:
    """Brings every change to `wake`.

    Args:
        store: whose feed.
        wake: called in the reader's thread.
        faults: what to do wrong.
    """

    def __init__(self, store: Store, wake: Callable[[Change], None], faults: Faults) -> None:
        self._feed = store.open_feed()
        self._wake = wake
        self._faults = faults
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read, name="streamer-feed", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more."""
        self._stopped.set()
        self._feed.close()
        self._thread.join()

    def _read(self) -> None:
        while not self._stopped.is_set():
            for change in disturbed(self._next(), self._faults):
                self._one(change)

    def _next(self) -> Sequence[Change]:
        try:
            return self._feed.get(_LOOK_S)
        except StoreError:
            get_logger().exception("the change feed cannot be read")
            self._stopped.wait(_LOOK_S)
            return ()

    def _one(self, change: Change) -> None:
        try:
            self._wake(change)
        except StoreError:
            # The sweeper makes it good.
            get_logger().warning("a change could not be acted on", ref=change.ref, exc_info=True)


def disturbed(changes: Sequence[Change], faults: Faults) -> Sequence[Change]:
    """Give the records as the faults have it; without any, as they are."""
    if not changes:
        return changes
    if faults.feed_delay:
        time.sleep(faults.feed_delay / 1000)
    disturbed = list(changes) * (2 if faults.feed_duplicate else 1)
    if faults.feed_reorder:
        random.shuffle(disturbed)
    return disturbed
