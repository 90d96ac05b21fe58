"""Giving waiting requests to workers.

Only what must be is done in the transaction, which keeps all other writers waiting: a claimed row
is decoded once it is committed.
"""

from collections.abc import Sequence

from streamer_core.model import transitions
from streamer_core.model.message import Priority
from streamer_core.model.request import Request
from streamer_plugin_sqlite import queues, records, slots, turns
from streamer_plugin_sqlite.base import Base
from streamer_plugin_sqlite.database import Database
from streamer_plugin_sqlite.queues import Waiting

# `transitions.claimed`, in SQL.
_TAKE = """
UPDATE requests SET status = 'PROCESSING', attempt = spent + 1, fence = fence + 1,
    lease_until = ?, worker = ?, started_at = coalesce(started_at, ?), claimed_at = ?,
    queue = NULL
WHERE n = ?
"""


class ClaimVerbs(Base):
    """The store's verbs that claim."""

    _found_nothing = False
    """Whether the last `claim_next` did: then look before taking the writer's turn."""

    def claim(self, ref: str, *, worker: str, lease_until: int) -> Request | None:
        """Take one due request; None where it is not due, not waiting, or a slot of it is full."""

        def write(db: Database) -> tuple[Waiting, int] | None:
            now = self.clock.now()
            found = queues.waiting(db, ref)
            if found is None or found.due_at > now:
                return None
            if full := slots.full(db, found.slots):
                slots.set_aside(db, found, full, now)
                return None
            _take(db, [found], worker=worker, lease_until=lease_until, now=now)
            turns.served(db, found.tenant)
            return found, now

        taken = self._write(write)
        return _claimed(*taken, worker, lease_until) if taken else None

    def claim_next(
        self, lanes: Sequence[Priority], *, worker: str, lease_until: int, at_most: int = 1
    ) -> Sequence[Request]:
        """Take the next due requests: by lane in the order given, then fair by tenant."""
        names = [lane.value for lane in lanes]

        def write(db: Database) -> tuple[list[Waiting], int]:
            now = self.clock.now()
            turns.wake(db, now)
            taken: list[Waiting] = []
            while (room := at_most - len(taken)) and (found := _next(db, names, now, room)):
                _take(db, found, worker=worker, lease_until=lease_until, now=now)
                turns.served(db, found[0].tenant)
                taken.extend(found)
            return taken, now

        # Many are woken for one request: those that find nothing must not hold up the writers.
        if self._found_nothing and not self._peek(
            lambda db: turns.promising(db, names, self.clock.now())
        ):
            return ()
        taken, now = self._write(write)
        self._found_nothing = not taken
        return [_claimed(one, now, worker, lease_until) for one in taken]


def _next(db: Database, lanes: Sequence[str], now: int, at_most: int) -> Sequence[Waiting]:
    """Find the next requests of one tenant whose slots have room; set those before them aside.

    More than one only where it is nobody else's turn, and no slot could fill up in between.
    """
    while (turn := turns.first(db, lanes)) is not None:
        many = at_most if at_most > 1 and turns.alone(db, turn[0]) else 1
        while found := queues.first_due(db, *turn, now, many):
            first = found[0]
            if (full := slots.full(db, first.slots)) is None:
                return found
            slots.set_aside(db, first, full, now)
    return ()


def _take(
    db: Database, found: Sequence[Waiting], *, worker: str, lease_until: int, now: int
) -> None:
    db.executemany(_TAKE, [(lease_until, worker, now, now, one.n) for one in found])
    for one in found:
        if one.slots:
            slots.hold(db, one.slots)
            slots.leave(db, one.n, one.queue, one.slots, now)


def _claimed(taken: Waiting, now: int, worker: str, lease_until: int) -> Request:
    request = records.record(taken.row).request
    return transitions.claimed(request, worker=worker, lease_until=lease_until, now=now)
