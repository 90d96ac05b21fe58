"""Requests: taking them in, giving and listing them."""

import uuid
from collections.abc import Sequence

from streamer_core.errors import LimitReached
from streamer_core.model import transitions
from streamer_core.model.connection import Connection
from streamer_core.model.counter import Count
from streamer_core.model.ids import request_subject
from streamer_core.model.request import ORIGIN_ALONE, Request
from streamer_core.ports import ChangeKind, Enqueued
from streamer_plugin_dynamodb.base import Base
from streamer_plugin_dynamodb.database import Pauses, Unmet, Write, absent, attribute, value
from streamer_plugin_dynamodb.items import Plain, check_size
from streamer_plugin_dynamodb.levels import read_levels
from streamer_plugin_dynamodb.queues import QueueVerbs
from streamer_plugin_dynamodb.records import Stored, body_of, row, stored_of
from streamer_plugin_dynamodb.slots import taken
from streamer_plugin_dynamodb.tables import Requests, Updates


class RequestVerbs(QueueVerbs, Base):
    """The store's verbs that take requests in and give them."""

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
        origin = self._origin(request)
        stored = transitions.accepted(request, now=now, worker=worker, lease_until=lease_until)
        new = Stored(
            request=stored.changed(subscribers_version=ORIGIN_ALONE if origin else 0),
            life=uuid.uuid4().hex[:8],
            origin=origin.id if origin else None,
            revision=1,
        )
        new, apart = new.with_text("body", body_of(request))
        check_size(row(new), f"the record of request {request.ref}")
        pauses = Pauses(self._db.patience_s)
        while True:
            try:
                kept = self._add(new, apart, counts)
            except Unmet:
                pauses.take("the counters changed faster than they could be read")
            else:
                break
        if kept is not None:
            return self._repeated(kept, origin)
        if worker is None:
            self._afterwards(self._note_waiting, new.request)
        else:
            self._held.take(new)
        return Enqueued(request=_own(new, apart), created=True)

    def _add(self, new: Stored, apart: Sequence[Plain], counts: Sequence[Count]) -> Stored | None:
        """Write a new request with all that belongs to it; gives the one that is there already."""
        request, now = new.request, self.clock.now()
        levels = read_levels(self._db, counts, now)
        counted, after = levels.counted(counts)
        if counted.refused is not None:
            if (kept := self._alive(request.ref)) is not None:
                return kept
            raise LimitReached(
                counted.refused.key,
                level=levels.level(counted.refused),
                retry_after_ms=counted.retry_after_ms,
            )
        told = {} if request.worker else {"change": ChangeKind.DUE.value}
        writes = [
            Write(
                kind="Put",
                table=Requests,
                key={**row(new), **told},
                condition=absent("ref") | (attribute("expires_at") <= value(now)),
            ),
            *levels.writes(counts, after),
            *(taken(request, limited=False) if request.worker else ()),
            *(Write(kind="Put", table=Updates, key=item) for item in apart),
        ]
        try:
            self._db.write(*writes)
        except Unmet as unmet:
            if not (item := unmet.found.get(0)):
                raise
            return self._whole(item) or self._read(request.ref)
        return None

    def _repeated(self, kept: Stored, origin: Connection | None) -> Enqueued:
        """Give a request that is kept already, and let the connection follow it."""
        if origin is not None:
            subject = request_subject(kept.request.ref)
            self.subscribe(subject, origin.id, expires_at=origin.expires_at)
            kept = self._read(kept.request.ref) or kept
        return Enqueued(request=kept.request, created=False)

    def _origin(self, request: Request) -> Connection | None:
        """Give the connection that a request came from, where it is known."""
        if request.connection_id is None:
            return None
        return self.get_connection(request.connection_id)

    def get(self, ref: str) -> Request | None:
        """Give a request, or None. Consistent: it sees every write that has returned."""
        stored = self._alive(ref)
        return stored.request if stored else None


def _own(new: Stored, apart: Sequence[Plain]) -> Request:
    """Give the request as a read would, sharing nothing with what was given."""
    texts = {-item["n"]: item["text"] for item in apart}
    plain = {name: kept for name, kept in row(new).items() if kept is not None}
    return stored_of(plain, texts).request
