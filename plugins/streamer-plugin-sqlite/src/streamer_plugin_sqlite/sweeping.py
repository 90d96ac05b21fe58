"""Updates and what was sent of them, what the sweeper looks for, and what is deleted."""

from collections.abc import Sequence
from typing import Any

from streamer_core.model.codec import loads
from streamer_core.model.ids import request_subject
from streamer_core.model.message import Priority
from streamer_core.model.request import Request
from streamer_core.model.update import Kind, Update
from streamer_core.ports import Change, ChangeKind
from streamer_plugin_sqlite import records
from streamer_plugin_sqlite.base import Base
from streamer_plugin_sqlite.database import Database
from streamer_plugin_sqlite.records import FULL

_ALIVE = "(r.expires_at IS NULL OR r.expires_at > ?)"
_UPDATES = f"""
SELECT u.seq, u.kind, u.attempt, u.at, u.body FROM requests r JOIN updates u ON u.n = r.n
WHERE r.ref = ? AND {_ALIVE} AND u.seq > ? ORDER BY u.seq LIMIT ?
"""  # noqa: S608
_DUE = """
SELECT r.ref, r.lane, r.due_at FROM queues q JOIN requests r ON r.queue = q.id
WHERE q.blocked = 0 AND q.head < ?1 AND r.due_at < ?1
    AND NOT EXISTS (SELECT 1 FROM aside a WHERE a.n = r.n)
ORDER BY q.head, q.id, r.due_at LIMIT ?2
"""
_GROUP = 100  # requests deleted in one transaction, so that nobody waits long for the next
_SMALL = ("small_values", "counters", "subscriptions")


class SweepingVerbs(Base):
    """The store's verbs on updates, and those of the sweeper."""

    def updates(self, ref: str, *, after: int = 0, limit: int = 200) -> Sequence[Update]:
        """Give the updates with a greater `seq`, in order."""
        asked = (ref, self.clock.now(), after, limit)
        rows = self._read(lambda db: db.execute(_UPDATES, asked).fetchall())
        return [
            Update(seq=seq, kind=Kind(kind), attempt=attempt, at=at, body=loads(body))
            for seq, kind, attempt, at, body in rows
        ]

    def mark_sent(self, ref: str, seq: int) -> None:
        """Note that all updates up to `seq` were handed to the transport."""
        self._check_process()
        self._sent.note(ref, seq)

    def due(self, before: int, limit: int = 100) -> Sequence[Change]:
        """Give waiting requests due before the time, and that no slot sets aside."""
        rows = self._peek(lambda db: db.execute(_DUE, (before, limit)).fetchall())
        return [
            Change(kind=ChangeKind.DUE, ref=ref, lane=Priority(lane), due_at=due_at)
            for ref, lane, due_at in rows
        ]

    def lapsed(self, limit: int = 100) -> Sequence[Request]:
        """Give PROCESSING requests whose lease is over."""
        return self._found("r.lease_until <= ? ORDER BY r.lease_until", self.clock.now(), limit)

    def cancelling(self, before: int, limit: int = 100) -> Sequence[Request]:
        """Give PROCESSING requests asked to stop before the time."""
        return self._found(
            "r.cancel_requested_at < ? AND r.status = 'PROCESSING' ORDER BY r.cancel_requested_at",
            before,
            limit,
        )

    def unsent(self, before: int, limit: int = 100) -> Sequence[Request]:
        """Give requests with `sent_seq < last_seq` whose last update was stored before the time."""
        return self._found(
            f"r.stored_at < ? AND r.sent_seq < r.last_seq AND {_ALIVE} ORDER BY r.stored_at",
            before,
            limit,
            self.clock.now(),
        )

    def purge(self, limit: int = 1000) -> int:
        """Delete up to `limit` expired items for good; connections are the sweeper's to forget."""
        deleted = self._purge_requests(limit)
        for table in _SMALL:
            deleted += self._purge_small(table, limit - deleted)
        return deleted

    def _found(self, condition: str, before: int, limit: int, *more: Any) -> list[Request]:
        sql = f"SELECT {FULL} FROM requests r WHERE {condition} LIMIT ?"  # noqa: S608
        self._sent.flush()
        rows = self._read(lambda db: db.execute(sql, (before, *more, limit)).fetchall())
        return [records.record(row).request for row in rows]

    def _purge_requests(self, limit: int) -> int:
        def write(db: Database) -> int:
            expired = db.execute(
                "SELECT n, ref FROM requests WHERE expires_at <= ? LIMIT ?",
                (self.clock.now(), min(_GROUP, limit - deleted)),
            ).fetchall()
            for n, ref in expired:
                records.forget(db, n, request_subject(ref))
            return len(expired)

        deleted = 0
        while deleted < limit and (group := self._write(write)):
            deleted += group
        return deleted

    def _purge_small(self, table: str, limit: int) -> int:
        key = "subject, connection_id" if table == "subscriptions" else "key"
        sql = (
            f"DELETE FROM {table} WHERE ({key}) IN "  # noqa: S608
            f"(SELECT {key} FROM {table} WHERE expires_at <= ? LIMIT ?)"
        )
        now = self.clock.now()
        return self._write(lambda db: db.execute(sql, (now, limit)).rowcount) if limit else 0
