"""Queues of waiting requests: one for each lane, tenant and set of slots.

A queue's `head` is a lower bound of its first due time, mended when somebody looks: a claim leaves
it as it is. A queue that ran empty goes when it is found empty. A queue is blocked while a request
of it is set aside for a full slot: all of it needs that slot.
"""

from collections.abc import Sequence
from typing import NamedTuple

from streamer_core.model.codec import dumps
from streamer_core.model.policy import Slot
from streamer_core.model.request import Request
from streamer_plugin_sqlite import records, turns
from streamer_plugin_sqlite.database import Database
from streamer_plugin_sqlite.records import DUE_AT, FULL, TENANT, Row
from streamer_plugin_sqlite.text import stored

_HEAD = f"SELECT {FULL} FROM requests r WHERE r.queue = ? ORDER BY r.due_at, r.n LIMIT ?"  # noqa: S608
_ONE = f"SELECT {FULL} FROM requests r WHERE r.ref = ? AND r.queue IS NOT NULL"  # noqa: S608


class Waiting(NamedTuple):
    """A request that waits: what must be known to claim it; all else stays in its row.

    Args:
        n, queue: the row's number, and where it waits.
        row: of the columns `FULL`.
    """

    n: int
    queue: int
    lane: str
    tenant: str | bytes
    due_at: int
    slots: Sequence[Slot]
    row: Row

    @classmethod
    def of(cls, row: Row) -> "Waiting":
        """Look at a row, as little as can be."""
        n, queue, lane, _, slots, *_ = row
        return cls(n, queue, lane, row[TENANT], row[DUE_AT], records.slots_of(slots), row)


def waiting(db: Database, ref: str) -> Waiting | None:
    """Give the request of a ref, where it waits."""
    row = db.execute(_ONE, (ref,)).fetchone()
    return Waiting.of(row) if row else None


def join(db: Database, request: Request, now: int) -> int:
    """Give the queue in which a request waits; made where there is none."""
    lane, tenant = request.priority.value, stored(request.tenant)
    slots = dumps([[slot.key, slot.at_most] for slot in request.slots]) if request.slots else ""
    row = db.execute(
        "SELECT id, head, blocked FROM queues WHERE lane = ? AND tenant = ? AND slots = ?",
        (lane, tenant, slots),
    ).fetchone()
    if row is None:
        made = db.execute(
            "INSERT INTO queues (lane, tenant, slots, head) VALUES (?, ?, ?, ?)",
            (lane, tenant, slots, request.due_at),
        ).lastrowid
        assert made is not None
        turns.expect(db, lane, tenant, request.due_at, now)
        return made
    queue, head, blocked = row
    if request.due_at < head:
        _mend(db, queue, request.due_at)
        if not blocked:
            turns.expect(db, lane, tenant, request.due_at, now)
    return int(queue)


def first_due(
    db: Database, lane: str, tenant: str | bytes, now: int, at_most: int = 1
) -> Sequence[Waiting]:
    """Give the tenant's first due request of its open queues; none puts the tenant to sleep.

    With `at_most`, also those of the same queue that come next, where they need no slots.
    """
    while heads := _open(db, lane, tenant):
        queue, head = heads[0]
        next_head = heads[1][1] if len(heads) > 1 else None
        first = _first(db, queue, 1 if next_head is not None and next_head <= now else at_most)
        if not first:
            db.execute("DELETE FROM queues WHERE id = ?", (queue,))
            continue
        due = first[0].due_at
        next_due = due if next_head is None else min(due, next_head)
        if due <= now and due == next_due:
            alike = first[:1] if first[0].slots else first
            return [one for one in alike if one.due_at <= now]
        if due != head:
            _mend(db, queue, due)
        if next_due > now:
            turns.sleep(db, lane, tenant, next_due)
            return ()
    turns.sleep(db, lane, tenant, None)
    return ()


def block(db: Database, queue: int) -> None:
    """Take a queue out of the running."""
    db.execute("UPDATE queues SET blocked = 1 WHERE id = ?", (queue,))


def unblock(db: Database, queue: int, now: int) -> None:
    """Take a queue back into the running."""
    lane, tenant, head = db.execute(
        "SELECT lane, tenant, head FROM queues WHERE id = ?", (queue,)
    ).fetchone()
    db.execute("UPDATE queues SET blocked = 0 WHERE id = ?", (queue,))
    turns.expect(db, lane, tenant, head, now)


def _open(db: Database, lane: str, tenant: str | bytes) -> list[tuple[int, int]]:
    return db.execute(
        "SELECT id, head FROM queues "
        "WHERE lane = ? AND tenant = ? AND blocked = 0 ORDER BY head LIMIT 2",
        (lane, tenant),
    ).fetchall()


def _first(db: Database, queue: int, at_most: int) -> list[Waiting]:
    return [Waiting.of(row) for row in db.execute(_HEAD, (queue, at_most))]


def _mend(db: Database, queue: int, head: int) -> None:
    db.execute("UPDATE queues SET head = ? WHERE id = ?", (head, queue))
