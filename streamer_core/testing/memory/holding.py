"""Requests: taking them in, claiming and holding them, ending them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from streamer_core.errors import LostLease
from streamer_core.model import transitions
from streamer_core.model.counter import Count
from streamer_core.model.ids import request_subject
from streamer_core.model.message import Priority
from streamer_core.model.request import ORIGIN_ALONE, Failure, Request, Snapshot, Status
from streamer_core.model.transitions import Checkpoint, Moved
from streamer_core.model.update import NewUpdate
from streamer_core.ports import Change, ChangeKind, Enqueued, Held, Store
from streamer_core.testing.memory.base import MemoryBase
from streamer_core.testing.memory.counters import require
from streamer_core.testing.memory.data import Row, copied_new, copied_request
from streamer_core.testing.memory.faults import verb


class RequestVerbs(MemoryBase):
    """The store's verbs that write requests.

    `claim_next` looks at every waiting request: linear time, unlike a store for production.
    """

    @verb
    def enqueue(
        self,
        request: Request,
        *,
        counts: Sequence[Count] = (),
        worker: str | None = None,
        lease_until: int | None = None,
    ) -> Enqueued:
        """Store a new request, once for each `ref`, and subscribe its `connection_id` to it."""
        now = self.clock.now()
        row = self.data.row(request.ref, now)
        created = row is None
        if row is None:
            stored = transitions.accepted(request, now=now, worker=worker, lease_until=lease_until)
            stored = copied_request(stored, self.max_item_bytes)
            require(counts, self.data.counters.apply(counts, now))
            row = self.data.add(stored)
            self._begin(stored)
        if self._subscribe_origin(request):
            row.request = _followed_by_origin(row.request, created=created)
        return Enqueued(request=copied_request(row.request), created=created)

    @verb
    def claim(self, ref: str, *, worker: str, lease_until: int) -> Request | None:
        """Take one due request; None where it is not due, not waiting, or a slot of it is full."""
        now = self.clock.now()
        row = self.data.row(ref, now)
        if row is None or not transitions.claimable(row.request, now):
            return None
        return self._take(row, worker=worker, lease_until=lease_until, now=now)

    @verb
    def claim_next(
        self, lanes: Sequence[Priority], *, worker: str, lease_until: int, at_most: int = 1
    ) -> Sequence[Request]:
        """Take the next due requests: by lane in the order given, then fair by tenant."""
        now = self.clock.now()
        taken: list[Request] = []
        while len(taken) < at_most:
            rows = (row for lane in lanes for row in self._queue(lane, now))
            tried = (self._take(r, worker=worker, lease_until=lease_until, now=now) for r in rows)
            if (request := next(filter(None, tried), None)) is None:
                break
            taken.append(request)
        return taken

    @verb
    def heartbeat(
        self, ref: str, *, fence: int, lease_until: int, progress: Snapshot | None = None
    ) -> Held:
        """Extend the lease, and keep the newest progress."""
        row = self._row(ref)
        extended = transitions.extended(
            row.request, fence=fence, lease_until=lease_until, progress=progress
        )
        return self._move(row, Moved(request=extended))

    @verb
    def append(
        self,
        ref: str,
        updates: Sequence[NewUpdate],
        *,
        fence: int,
        progress: Snapshot | None = None,
        checkpoint: Any = Store.unchanged,
    ) -> Held:
        """Number and keep updates, in order, with the checkpoint that stands behind them."""
        row = self._row(ref)
        moved = transitions.appended(
            row.request,
            copied_new(updates, self.max_item_bytes),
            fence=fence,
            progress=progress,
            checkpoint=_checkpoint(checkpoint),
        )
        return self._move(row, moved)

    @verb
    def finish(
        self,
        ref: str,
        status: Status,
        updates: Sequence[NewUpdate],
        *,
        fence: int,
        expires_at: int,
        progress: Snapshot | None = None,
        failure: Failure | None = None,
        lapsed: bool = False,
    ) -> Held:
        """End a PROCESSING request."""
        row = self._row(ref)
        moved = transitions.finished(
            row.request,
            status,
            copied_new(updates, self.max_item_bytes),
            fence=fence,
            now=self.clock.now(),
            expires_at=expires_at,
            progress=progress,
            failure=failure,
            lapsed=lapsed,
        )
        held = self._move(row, moved)
        self._settle(row.request, ended=lapsed)
        self._let_go(row.request)
        return held

    @verb
    def requeue(
        self,
        ref: str,
        *,
        fence: int,
        due_at: int,
        spend: bool,
        updates: Sequence[NewUpdate] = (),
        progress: Snapshot | None = None,
        checkpoint: Any = Store.unchanged,
        failure: Failure | None = None,
        lapsed: bool = False,
    ) -> Held:
        """Give a PROCESSING request back: RETRYING where an attempt is spent, else PENDING."""
        row = self._row(ref)
        moved = transitions.requeued(
            row.request,
            fence=fence,
            now=self.clock.now(),
            due_at=due_at,
            spend=spend,
            updates=copied_new(updates, self.max_item_bytes),
            progress=progress,
            checkpoint=_checkpoint(checkpoint),
            failure=failure,
            lapsed=lapsed,
        )
        held = self._move(row, moved)
        self._feed(due_change(row.request))
        self._let_go(row.request)
        return held

    @verb
    def cancel(self, ref: str, terminal: NewUpdate, *, expires_at: int) -> Request | None:
        """Cancel: a waiting request ends at once, a running one is flagged, an ended one stays."""
        now = self.clock.now()
        row = self.data.row(ref, now)
        if row is None:
            return None
        if row.request.status.waiting:
            (own,) = copied_new([terminal], self.max_item_bytes)
            self._move(row, transitions.cancelled(row.request, own, now=now, expires_at=expires_at))
            self._settle(row.request, ended=True)
        elif row.request.status is Status.PROCESSING:
            row.request = transitions.flagged(row.request, now=now)
        return copied_request(row.request)

    @verb
    def mark_sent(self, ref: str, seq: int) -> None:
        """Note that all updates up to `seq` were handed to the transport."""
        if row := self.data.row(ref, self.clock.now()):
            row.request = transitions.sent(row.request, seq)

    def _begin(self, request: Request) -> None:
        if request.status is Status.PROCESSING:
            self.data.slots.hold(request)
        else:
            self._feed(due_change(request))

    def _subscribe_origin(self, request: Request) -> bool:
        connection = self.data.connections.get(request.connection_id or "")
        if connection is None:
            return False
        subscribed = self.data.subscriptions[request_subject(request.ref)]
        subscribed[connection.id] = connection.expires_at
        return True

    def _queue(self, lane: Priority, now: int) -> list[Row]:
        rows = [
            row
            for ref in self.data.waiting
            if (row := self.data.rows[ref]).request.priority is lane
            and transitions.claimable(row.request, now)
            and not self.data.slots.is_aside(ref)
        ]
        return sorted(rows, key=self._turn)

    def _turn(self, row: Row) -> tuple[int, int, int]:
        last_claim = self.data.last_claims.get(row.request.tenant, 0)
        return last_claim, row.request.due_at, row.order

    def _take(self, row: Row, *, worker: str, lease_until: int, now: int) -> Request | None:
        if not self.data.slots.take(row.request):
            return None
        claimed = transitions.claimed(row.request, worker=worker, lease_until=lease_until, now=now)
        self.data.move(row, Moved(request=claimed), now)
        self.data.note_claim(claimed.tenant)
        return copied_request(claimed)

    def _row(self, ref: str) -> Row:
        row = self.data.row(ref, self.clock.now())
        if row is None:
            raise LostLease(f"no request {ref}")
        return row

    def _move(self, row: Row, moved: Moved) -> Held:
        own = replace(moved, request=copied_request(moved.request, self.max_item_bytes))
        self.data.move(row, own, self.clock.now())
        return Held.of(row.request)

    def _settle(self, request: Request, *, ended: bool) -> None:
        self.data.counters.settle(transitions.settlement(request), self.clock.now())
        if ended:
            self._feed(Change(kind=ChangeKind.ENDED, ref=request.ref, lane=request.priority))

    def _let_go(self, request: Request) -> None:
        woken = self.data.slots.let_go(request)
        self._feed(*(due_change(self.data.rows[ref].request) for ref in woken))


def due_change(request: Request) -> Change:
    """Give the change that says when a request may be claimed."""
    return Change(
        kind=ChangeKind.DUE, ref=request.ref, lane=request.priority, due_at=request.due_at
    )


def _followed_by_origin(request: Request, *, created: bool) -> Request:
    if created:
        return request.changed(subscribers_version=ORIGIN_ALONE)
    return transitions.followed(request)


def _checkpoint(given: Any) -> Checkpoint | None:
    return None if given is Store.unchanged else Checkpoint(given)
