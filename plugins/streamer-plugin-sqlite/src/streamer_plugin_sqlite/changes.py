"""The change feed's table: written in the transaction that makes the change, and trimmed.

A reader that falls more than `_KEPT` changes behind misses the oldest; the sweeper finds them.
"""

from collections.abc import Sequence

from streamer_core.model.message import Priority
from streamer_core.model.request import Request
from streamer_core.ports import Change, ChangeKind
from streamer_plugin_sqlite.database import Database

_KEPT = 10_000
_TRIM_EVERY = 1_000
_PAGE = 1_000


def due(db: Database, request: Request) -> None:
    """Feed that a request may be claimed when it is due."""
    feed(db, ChangeKind.DUE, request.ref, request.priority.value, request.due_at)


def ended(db: Database, request: Request) -> None:
    """Feed that a request was ended by somebody who held no lease."""
    feed(db, ChangeKind.ENDED, request.ref, request.priority.value, 0)


def feed(db: Database, kind: ChangeKind, ref: str, lane: str, due_at: int) -> None:
    """Feed one change."""
    n = db.execute(
        "INSERT INTO changes (kind, ref, lane, due_at) VALUES (?, ?, ?, ?)",
        (kind.value, ref, lane, due_at),
    ).lastrowid
    assert n is not None
    if n % _TRIM_EVERY == 0:
        # The newest row always stays, so that numbers are never used again.
        db.execute("DELETE FROM changes WHERE n <= ?", (n - _KEPT,))
    db.fed = True


def newest(db: Database) -> int:
    """Give the number of the last change."""
    found: int = db.execute("SELECT coalesce(max(n), 0) FROM changes").fetchone()[0]
    return found


def after(db: Database, n: int) -> tuple[int, Sequence[Change]]:
    """Give the changes after a number, a page of them, and the number to go on from."""
    rows = db.execute(
        "SELECT n, kind, ref, lane, due_at FROM changes WHERE n > ? ORDER BY n LIMIT ?", (n, _PAGE)
    ).fetchall()
    changes = [
        Change(kind=ChangeKind(kind), ref=ref, lane=Priority(lane), due_at=due_at)
        for _, kind, ref, lane, due_at in rows
    ]
    return (rows[-1][0] if rows else n), changes
