"""Who holds which concurrency slot, and who was set aside for a full one."""

from collections import defaultdict

from streamer_core.model.request import Request


class Slots:
    """The slots of running requests.

    Letting one slot go wakes all that were set aside for it: simple, and never forgets one whose
    turn is passed on, but a crowd wakes for a single place.
    """

    def __init__(self) -> None:
        self._holders: defaultdict[str, set[str]] = defaultdict(set)
        self._aside: dict[str, str] = {}

    def take(self, request: Request) -> bool:
        """Take all its slots, or set it aside at the first that is full."""
        for slot in request.slots:
            if len(self._holders[slot.key]) >= slot.at_most:
                self._aside[request.ref] = slot.key
                return False
        self.hold(request)
        return True

    def hold(self, request: Request) -> None:
        """Take all its slots without regard to their limits."""
        self._aside.pop(request.ref, None)
        for slot in request.slots:
            self._holders[slot.key].add(request.ref)

    def let_go(self, request: Request) -> list[str]:
        """Let its slots go; gives the refs that were set aside for one of them."""
        keys = {slot.key for slot in request.slots}
        for key in keys:
            self._holders[key].discard(request.ref)
        woken = [ref for ref, key in self._aside.items() if key in keys]
        for ref in woken:
            del self._aside[ref]
        return woken

    def forget(self, ref: str) -> None:
        """Forget that a request was set aside."""
        self._aside.pop(ref, None)

    def is_aside(self, ref: str) -> bool:
        """Tell whether it waits for a slot."""
        return ref in self._aside
