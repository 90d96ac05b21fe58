"""What every part of the memory store stands on."""

import threading

from streamer_core.errors import StoreError
from streamer_core.model.transitions import followed
from streamer_core.ports import Change, Store
from streamer_core.ports.clock import Clock
from streamer_core.testing.memory.data import MemoryData
from streamer_core.testing.memory.faults import Faults
from streamer_core.testing.memory.feed import MemoryFeed


class MemoryBase(Store):
    """Data, faults and one lock.

    Args:
        clock: gives `now`.
        data: what another memory store keeps already; None: a new, empty one.
        max_item_bytes: the largest record or update taken; None: any.
    """

    def __init__(
        self, clock: Clock, data: MemoryData | None = None, *, max_item_bytes: int | None = None
    ) -> None:
        super().__init__(clock)
        self.data = data if data is not None else MemoryData()
        self.faults = Faults()
        self.max_item_bytes = max_item_bytes
        self._opened: list[MemoryFeed] = []
        self._closed = False

    def enter(self) -> threading.RLock:
        """Give the lock, for a verb to hold.

        Raises:
            StoreError: the store is closed.
        """
        if self._closed:
            raise StoreError("the store is closed")
        return self.data.lock

    def _feed(self, *changes: Change) -> None:
        self.data.hub.publish(*changes)

    def _follow(self, ref: str, now: int) -> None:
        if row := self.data.row(ref, now):
            row.request = followed(row.request)
