"""Giving waiting requests to workers."""

from collections.abc import Sequence

from streamer_core.model import transitions
from streamer_core.model.message import Priority
from streamer_core.model.request import Request
from streamer_plugin_sqlite import queues, records, slots, turns
from streamer_plugin_sqlite.base import Base
from streamer_plugin_sqlite.database import Database
from streamer_plugin_sqlite.records import Record
from streamer_plugin_sqlite.text import stored


class ClaimVerbs(Base):
    """The store's verbs that claim."""

    _found_nothing = False
    """Whether the last `claim_next` did: then look before taking the writer's turn."""

    def claim(self, ref: str, *, worker: str, lease_until: int) -> Request | None:
        """Take one due request; None where it is not due, not waiting, or a slot of it is full."""

        def write(db: Database) -> Request | None:
            now = self.clock.now()
            found = records.find(db, ref, full=True)
            if found is None or not transitions.claimable(found.request, now):
                return None
            if full := slots.full(db, found.request):
                slots.set_aside(db, found, full, now)
                return None
            request = _take(db, found, worker=worker, lease_until=lease_until, now=now)
            turns.served(db, stored(request.tenant))
            return request

        return self._write(write)

    def claim_next(
        self, lanes: Sequence[Priority], *, worker: str, lease_until: int, at_most: int = 1
    ) -> Sequence[Request]:
        """Take the next due requests: by lane in the order given, then fair by tenant."""
        names = [lane.value for lane in lanes]

        def write(db: Database) -> Sequence[Request]:
            now = self.clock.now()
            turns.wake(db, now)
            taken: list[Request] = []
            last = None
            while len(taken) < at_most and (found := _first_with_room(db, names, now)):
                request = _take(db, found, worker=worker, lease_until=lease_until, now=now)
                taken.append(request)
                if request.tenant != last:
                    turns.served(db, stored(request.tenant))
                    last = request.tenant
            return taken

        # Many are woken for one request: those that find nothing must not hold up the writers.
        if self._found_nothing and not self._read(
            lambda db: turns.promising(db, names, self.clock.now())
        ):
            return ()
        taken = self._write(write)
        self._found_nothing = not taken
        return taken


def _first_with_room(db: Database, lanes: Sequence[str], now: int) -> Record | None:
    """Find the first request whose slots have room; set those before it aside."""
    while (turn := turns.first(db, lanes)) is not None:
        while (found := queues.first_due(db, *turn, now)) is not None:
            if (full := slots.full(db, found.request)) is None:
                return found
            slots.set_aside(db, found, full, now)
    return None


def _take(db: Database, found: Record, *, worker: str, lease_until: int, now: int) -> Request:
    claimed = transitions.claimed(found.request, worker=worker, lease_until=lease_until, now=now)
    records.save(db, found, claimed, queue=None)
    slots.hold(db, claimed)
    slots.leave(db, found, now)
    return claimed
