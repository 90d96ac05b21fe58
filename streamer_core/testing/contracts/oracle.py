"""What a store should hold: the transitions themselves, and slots counted by hand."""

from collections import defaultdict
from collections.abc import Iterable

from streamer_core.model import transitions
from streamer_core.model.message import Priority
from streamer_core.model.policy import Slot
from streamer_core.model.request import Request, Status
from streamer_core.model.transitions import Moved
from streamer_core.model.update import Update


class Oracle:
    """The requests that a store was told of, in the state that it should give back."""

    def __init__(self) -> None:
        self.requests: dict[str, Request] = {}
        self.history: defaultdict[str, list[Update]] = defaultdict(list)
        self.levels: defaultdict[str, float] = defaultdict(float)
        self._last_claims: dict[tuple[Priority | None, str], int] = {}
        self._claims = 0

    def put(self, request: Request) -> None:
        """Note a request's new state."""
        self.requests[request.ref] = request

    def move(self, moved: Moved) -> None:
        """Note a move with its updates, and settle a request that it ended."""
        self.put(moved.request)
        self.history[moved.request.ref].extend(moved.updates)
        if moved.request.status.terminal:
            for count in transitions.settlement(moved.request):
                self.levels[count.key] = count.added(self.levels[count.key])

    def claim(self, ref: str, *, worker: str, lease_until: int, now: int) -> Request:
        """Note a claim that must be allowed."""
        request = transitions.claimed(
            self.requests[ref], worker=worker, lease_until=lease_until, now=now
        )
        self._claims += 1
        for lane in (None, request.priority):
            self._last_claims[lane, request.tenant] = self._claims
        self.put(request)
        return request

    def forget_expired(self, now: int) -> None:
        """Drop what every read must treat as absent."""
        for ref, request in list(self.requests.items()):
            if transitions.expired(request, now):
                del self.requests[ref]
                self.history.pop(ref, None)

    def running(self) -> list[Request]:
        """Give those that hold slots."""
        return [r for r in self.requests.values() if r.status is Status.PROCESSING]

    def has_room(self, slots: Iterable[Slot]) -> bool:
        """Tell whether all slots have room."""
        taken = [slot.key for request in self.running() for slot in request.slots]
        return all(taken.count(slot.key) < slot.at_most for slot in slots)

    def may_claim(self, request: Request, now: int) -> bool:
        """Tell whether a claim must succeed."""
        return transitions.claimable(request, now) and self.has_room(request.slots)

    def next_choices(self, lanes: Iterable[Priority], now: int) -> set[str]:
        """Give the refs of which `claim_next` must take one; none where it must find nothing.

        A store may keep the tenants' turns in each lane apart, or for all lanes together.
        """
        for lane in lanes:
            able = [r for r in self.requests.values() if r.priority is lane]
            able = [r for r in able if self.may_claim(r, now)]
            if able:
                return self._turns(able, lane) | self._turns(able, None)
        return set()

    def _turns(self, able: list[Request], lane: Priority | None) -> set[str]:
        last = {r.tenant: self._last_claims.get((lane, r.tenant), 0) for r in able}
        first = min(last.values())
        return _due_first_by_tenant([r for r in able if last[r.tenant] == first])


def _due_first_by_tenant(requests: list[Request]) -> set[str]:
    # Tenants that were never served tie, and so do requests of one due time: any of them will do.
    earliest: dict[str, int] = {}
    for request in requests:
        before = earliest.get(request.tenant, request.due_at)
        earliest[request.tenant] = min(before, request.due_at)
    return {r.ref for r in requests if r.due_at == earliest[r.tenant]}
