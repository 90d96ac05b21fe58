"""Requests: reading them, and what the sweeper looks for."""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Sequence

from streamer_core.model import transitions
from streamer_core.model.request import Request, Status
from streamer_core.model.update import Update
from streamer_core.ports import Change, Page, Query
from streamer_core.testing.memory.base import MemoryBase
from streamer_core.testing.memory.data import Row, copied_request, copied_update
from streamer_core.testing.memory.faults import verb
from streamer_core.testing.memory.holding import due_change

Place = tuple[int, int]


class ReadVerbs(MemoryBase):
    """The store's verbs that read requests, and `purge`."""

    @verb
    def get(self, ref: str) -> Request | None:
        """Give a request, or None."""
        row = self.data.row(ref, self.clock.now())
        return copied_request(row.request) if row else None

    @verb
    def query(self, query: Query, *, limit: int = 50, cursor: str | None = None) -> Page:
        """List requests, newest first."""
        before = _place_of(cursor) if cursor is not None else None
        rows = [row for row in self.data.live(self.clock.now()) if _matches(query, row.request)]
        rows.sort(key=_place, reverse=True)
        rest = [row for row in rows if before is None or _place(row) < before]
        page = rest[:limit]
        return Page(
            items=tuple(copied_request(row.request) for row in page),
            cursor=_cursor_of(page[-1]) if len(rest) > len(page) else None,
        )

    @verb
    def updates(self, ref: str, *, after: int = 0, limit: int = 200) -> Sequence[Update]:
        """Give the updates with a greater `seq`, in order."""
        row = self.data.row(ref, self.clock.now())
        return [copied_update(update) for update in row.updates[after:][:limit]] if row else []

    @verb
    def due(self, before: int, limit: int = 100) -> Sequence[Change]:
        """Give waiting requests due before the time, and that no slot sets aside."""
        waiting = [self.data.rows[ref].request for ref in self.data.waiting]
        due = [r for r in waiting if r.due_at < before and not self.data.slots.is_aside(r.ref)]
        due.sort(key=lambda request: request.due_at)
        return [due_change(request) for request in due[:limit]]

    @verb
    def lapsed(self, limit: int = 100) -> Sequence[Request]:
        """Give PROCESSING requests whose lease is over."""
        now = self.clock.now()
        return self._found(lambda row: transitions.lease_over(row.request, now), limit)

    @verb
    def cancelling(self, before: int, limit: int = 100) -> Sequence[Request]:
        """Give PROCESSING requests asked to stop before the time."""

        def asked(row: Row) -> bool:
            asked_at = row.request.cancel_requested_at
            running = row.request.status is Status.PROCESSING
            return running and asked_at is not None and asked_at < before

        return self._found(asked, limit)

    @verb
    def unsent(self, before: int, limit: int = 100) -> Sequence[Request]:
        """Give requests with unsent updates, the last of them stored before the time."""

        def unsent(row: Row) -> bool:
            return row.request.sent_seq < row.request.last_seq and row.stored_at < before

        return self._found(unsent, limit)

    @verb
    def purge(self, limit: int = 1000) -> int:
        """Delete expired items for good; connections are the sweeper's to forget."""
        now = self.clock.now()
        left = limit
        left -= self._purge_requests(now, left)
        left -= self._purge_values(now, left)
        left -= self._purge_subscriptions(now, left)
        left -= self.data.counters.purge(now, left)
        return limit - left

    def _found(self, wanted: Callable[[Row], bool], limit: int) -> list[Request]:
        found: Iterator[Row] = (row for row in self.data.live(self.clock.now()) if wanted(row))
        return [copied_request(row.request) for row, _ in zip(found, range(limit), strict=False)]

    def _purge_requests(self, now: int, limit: int) -> int:
        rows = self.data.rows.items()
        gone = [ref for ref, row in rows if transitions.expired(row.request, now)][:limit]
        for ref in gone:
            self.data.forget(ref)
        return len(gone)

    def _purge_values(self, now: int, limit: int) -> int:
        values = self.data.values
        gone = [k for k, v in values.items() if v.expires_at is not None and v.expires_at <= now]
        for key in gone[:limit]:
            del values[key]
        return len(gone[:limit])

    def _purge_subscriptions(self, now: int, limit: int) -> int:
        gone = [
            (subscribed, connection_id)
            for subscribed in self.data.subscriptions.values()
            for connection_id, expires_at in subscribed.items()
            if expires_at <= now
        ][:limit]
        for subscribed, connection_id in gone:
            del subscribed[connection_id]
        return len(gone)


def _matches(query: Query, request: Request) -> bool:
    return (
        query.tenant in {None, request.tenant}
        and query.user in {None, request.user}
        and query.action in {None, request.action}
        and (query.statuses is None or request.status in query.statuses)
        and (query.since is None or request.created_at >= query.since)
        and (query.until is None or request.created_at < query.until)
    )


def _place(row: Row) -> Place:
    return row.request.created_at, row.order


def _cursor_of(row: Row) -> str:
    return base64.urlsafe_b64encode(json.dumps(_place(row)).encode()).decode()


def _place_of(cursor: str) -> Place:
    try:
        created_at, order = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
        return int(created_at), int(order)
    except (binascii.Error, TypeError, ValueError) as error:
        raise ValueError("the cursor is not one of this store") from error
