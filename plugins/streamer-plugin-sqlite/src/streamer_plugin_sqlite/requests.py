"""Taking requests in, and listing them."""

import re
from collections.abc import Sequence
from typing import Any

from streamer_core.errors import LimitReached, StoreError
from streamer_core.model import transitions
from streamer_core.model.counter import Count
from streamer_core.model.ids import request_subject
from streamer_core.model.request import ORIGIN_ALONE, Request, Status
from streamer_core.ports import Enqueued, Enqueuing, Page, Query
from streamer_plugin_sqlite import changes, levels, queues, records, slots
from streamer_plugin_sqlite.base import Base
from streamer_plugin_sqlite.database import Database
from streamer_plugin_sqlite.records import FULL, Record
from streamer_plugin_sqlite.text import stored

_CURSOR = re.compile(r"(\d{1,18})\.(\d{1,18})", re.ASCII)


class RequestVerbs(Base):
    """The store's verbs that take requests in and list them."""

    def enqueue(
        self,
        request: Request,
        *,
        counts: Sequence[Count] = (),
        worker: str | None = None,
        lease_until: int | None = None,
    ) -> Enqueued:
        """Store a new request, once for each `ref`, and subscribe its `connection_id` to it."""
        one, body = Enqueuing(request=request, counts=counts), records.body_of(request)
        holder = {"worker": worker, "lease_until": lease_until}
        return self._write(lambda db: _enqueued(db, one, body, self.clock.now(), Known(), **holder))

    def enqueue_all(self, those: Sequence[Enqueuing]) -> Sequence[Enqueued | StoreError]:
        """Store several requests in one transaction."""
        prepared = [(one, records.body_of(one.request)) for one in those]

        def write(db: Database) -> Sequence[Enqueued | StoreError]:
            now, known = self.clock.now(), Known()
            return [_enqueued_or_refused(db, one, body, now, known) for one, body in prepared]

        return self._write(write)

    def get(self, ref: str) -> Request | None:
        """Give a request, or None. Consistent: it sees every write that has returned."""
        self._sent.flush()
        found = self._read(lambda db: records.find(db, ref, full=True))
        if found is None or transitions.expired(found.request, self.clock.now()):
            return None
        return found.request

    def query(self, query: Query, *, limit: int = 50, cursor: str | None = None) -> Page:
        """List requests, newest first. A cursor that is not the store's own raises ValueError."""
        where, values = _conditions(query, self.clock.now())
        if cursor is not None:
            where.append("(r.created_at, r.n) < (?, ?)")
            values.extend(_place(cursor))
        sql = (
            f"SELECT {FULL} FROM requests r WHERE {' AND '.join(where)} "  # noqa: S608
            "ORDER BY r.created_at DESC, r.n DESC LIMIT ?"
        )
        self._sent.flush()
        rows = self._read(lambda db: db.execute(sql, (*values, limit + 1)).fetchall())
        page = [records.record(row) for row in rows[:limit]]
        more = page and len(rows) > limit
        return Page(
            items=tuple(record.request for record in page),
            cursor=f"{page[-1].request.created_at}.{page[-1].n}" if more else None,
        )


def _enqueued_or_refused(
    db: Database, one: Enqueuing, body: str, now: int, known: "Known"
) -> Enqueued | StoreError:
    try:
        return _enqueued(db, one, body, now, known)
    except LimitReached as error:  # it is raised before anything is written
        return error


def _enqueued(
    db: Database, one: Enqueuing, body: str, now: int, known: "Known", **holder: Any
) -> Enqueued:
    request = one.request
    found = records.find(db, request.ref, full=True)
    if found is not None and not transitions.expired(found.request, now):
        followed = _follow_again(db, found, request.connection_id)
        return Enqueued(request=followed.request, created=False)
    new = transitions.accepted(request, now=now, **holder)
    levels.require(one.counts, levels.apply(db, one.counts, now))
    if found is not None:
        records.forget(db, found.n, request_subject(request.ref))
    return Enqueued(request=_add(db, new, body, now, known), created=True)


def _add(db: Database, request: Request, body: str, now: int, known: "Known") -> Request:
    if known.connection(db, request.connection_id):
        request = request.changed(subscribers_version=ORIGIN_ALONE)
    queue = None
    if request.status is Status.PROCESSING:
        slots.hold(db, request.slots)
    else:
        queue = known.queue(db, request, now)
        changes.due(db, request)
    records.insert(db, request, body, queue)
    return request


class Known:
    """What requests of one transaction have in common, asked for once."""

    def __init__(self) -> None:
        self._connections: dict[str | None, bool] = {}
        self._queues: dict[tuple[str, str], tuple[int, int]] = {}

    def connection(self, db: Database, connection_id: str | None) -> bool:
        """Tell whether a connection is stored."""
        found = self._connections.get(connection_id)
        if found is None:
            found = self._connections[connection_id] = _is_known(db, connection_id)
        return found

    def queue(self, db: Database, request: Request, now: int) -> int:
        """Give the queue where a request waits: that of the last one, where nothing differs."""
        if request.slots or request.due_at > now:
            return queues.join(db, request, now)
        key = request.priority.value, request.tenant
        queue, due_at = self._queues.get(key, (None, 0))
        if queue is None or request.due_at < due_at:
            queue = queues.join(db, request, now)
            self._queues[key] = queue, request.due_at
        return queue


def _is_known(db: Database, connection_id: str | None) -> bool:
    if connection_id is None:
        return False
    found = db.execute("SELECT 1 FROM connections WHERE id = ?", (connection_id,)).fetchone()
    return found is not None


def _follow_again(db: Database, record: Record, connection_id: str | None) -> Record:
    """Subscribe the connection that a repeat came from, for as long as it lives."""
    if not _is_known(db, connection_id):
        return record
    db.execute(
        "INSERT OR REPLACE INTO subscriptions (subject, connection_id, expires_at) "
        "SELECT ?, id, expires_at FROM connections WHERE id = ?",
        (request_subject(record.request.ref), connection_id),
    )
    followed = transitions.followed(record.request)
    records.save(db, record, followed)
    return record.moved(followed)


def _conditions(query: Query, now: int) -> tuple[list[str], list[Any]]:
    where, values = ["(r.expires_at IS NULL OR r.expires_at > ?)"], [now]
    bounds: list[tuple[str, Any]] = [
        ("r.tenant = ?", None if query.tenant is None else stored(query.tenant)),
        ("r.user = ?", None if query.user is None else stored(query.user)),
        ("r.action = ?", query.action),
        ("r.created_at >= ?", query.since),
        ("r.created_at < ?", query.until),
    ]
    given = [(sql, value) for sql, value in bounds if value is not None]
    where.extend(sql for sql, _ in given)
    if query.statuses is not None:
        # Spelt out, so that SQLite may use an index of one status.
        names = [f"'{status.value}'" for status in sorted(query.statuses)]
        one = f"r.status = {names[0]}" if len(names) == 1 else None
        where.append(one or f"r.status IN ({', '.join(names)})")
    return where, [*values, *(value for _, value in given)]


def _place(cursor: str) -> tuple[int, int]:
    if (match := _CURSOR.fullmatch(cursor)) is None:
        raise ValueError("the cursor is not one of this store")
    return int(match[1]), int(match[2])
