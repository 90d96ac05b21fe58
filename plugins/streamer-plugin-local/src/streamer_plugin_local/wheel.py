"""One coarse clock for the deadlines of all connections, instead of a timer each."""

from collections import defaultdict
from typing import Protocol


class Timed(Protocol):
    """Something with a deadline. `slot` belongs to the wheel; it starts as None."""

    slot: int | None

    def due(self, now: float) -> float | None:
        """Act on a deadline that has come; give the next one, or None to leave the wheel."""


class Wheel:
    """Keeps things by the tick in which their deadline falls.

    A deadline may move later without telling the wheel: `due` is asked when the old one comes and
    answers with the new one. So traffic on a connection costs nothing here.

    Args:
        tick_s: how late a deadline may be noticed.
    """

    def __init__(self, tick_s: float) -> None:
        self.tick_s = tick_s
        self._slots: defaultdict[int, set[Timed]] = defaultdict(set)
        self._reached = 0

    def put(self, item: Timed, deadline: float) -> None:
        """Set, or set anew, when the item is asked."""
        self.drop(item)
        slot = max(int(deadline / self.tick_s) + 1, self._reached + 1)
        item.slot = slot
        self._slots[slot].add(item)

    def drop(self, item: Timed) -> None:
        """Forget the item; one that is not kept is no error."""
        if item.slot is not None:
            items = self._slots.get(item.slot)
            if items is not None:
                items.discard(item)
                if not items:
                    del self._slots[item.slot]
            item.slot = None

    def turn(self, now: float) -> None:
        """Ask all whose deadline has come."""
        self._reached = int(now / self.tick_s)
        for slot in sorted(slot for slot in self._slots if slot <= self._reached):
            for item in self._slots.pop(slot):
                item.slot = None
                if (deadline := item.due(now)) is not None:
                    self.put(item, deadline)
