"""Concurrency slots, and who is set aside for a full one.

`aside` holds the requests that were found wanting a slot; their queues are blocked. Whenever a slot
has room after something happened to it (let go, claimed with room left, one that waited for it was
cancelled), the first of each lane that is set aside for it is brought back, so that as long as
there is room and somebody set aside, somebody may be claimed. One request for each place, not a
crowd: what it leaves, it passes on.
"""

from streamer_core.model.message import Priority
from streamer_core.model.policy import Slot
from streamer_core.model.request import Request
from streamer_core.ports.store import ChangeKind
from streamer_plugin_sqlite import changes, queues, turns
from streamer_plugin_sqlite.database import Database
from streamer_plugin_sqlite.records import Record
from streamer_plugin_sqlite.text import stored

_FIRST_ASIDE = """
SELECT a.n, a.queue, r.ref, r.due_at FROM aside a JOIN requests r ON r.n = a.n
WHERE a.slot = ? AND a.lane = ? AND a.room > ? ORDER BY a.turn, a.due_at LIMIT 1
"""


def full(db: Database, request: Request) -> Slot | None:
    """Give the first slot of a request that has no room."""
    return next((s for s in request.slots if _running(db, s.key) >= s.at_most), None)


def hold(db: Database, request: Request) -> None:
    """Take all slots of a request, without regard to their limits."""
    for key in _keys(request):
        db.execute(
            "INSERT INTO slots (key, running) VALUES (?, 1) "
            "ON CONFLICT (key) DO UPDATE SET running = running + 1",
            (stored(key),),
        )


def let_go(db: Database, request: Request, now: int) -> None:
    """Let all slots of a request go."""
    for key in _keys(request):
        db.execute("UPDATE slots SET running = running - 1 WHERE key = ?", (stored(key),))
        db.execute("DELETE FROM slots WHERE key = ? AND running <= 0", (stored(key),))
    offer(db, request, now)


def set_aside(db: Database, waiting: Record, slot: Slot, now: int) -> None:
    """Set a request aside for a slot that is full for it, and its queue with it."""
    request = waiting.request
    lane = request.priority.value
    assert waiting.queue is not None
    turn = turns.last_served(db, lane, stored(request.tenant))
    db.execute(
        "INSERT OR REPLACE INTO aside (n, slot, room, lane, turn, due_at, queue) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (waiting.n, stored(slot.key), slot.at_most, lane, turn, request.due_at, waiting.queue),
    )
    queues.block(db, waiting.queue)
    offer(db, request, now, but=slot.key)  # it may have been brought back for the place it leaves


def leave(db: Database, waiting: Record, now: int) -> None:
    """Note that a request waits no more, and pass on what room there is."""
    if not waiting.request.slots:
        return
    if db.execute("DELETE FROM aside WHERE n = ?", (waiting.n,)).rowcount:
        assert waiting.queue is not None
        queues.unblock(db, waiting.queue, now)
    offer(db, waiting.request, now)


def offer(db: Database, request: Request, now: int, but: str | None = None) -> None:
    """Bring back one request of each lane for each slot of a request that has room."""
    for key in _keys(request):
        if key != but:
            for lane in Priority:
                _bring_back(db, key, lane, now)


def _bring_back(db: Database, key: str, lane: Priority, now: int) -> None:
    row = db.execute(_FIRST_ASIDE, (stored(key), lane.value, _running(db, key))).fetchone()
    if row is None:
        return
    n, queue, ref, due_at = row
    db.execute("DELETE FROM aside WHERE n = ?", (n,))
    queues.unblock(db, queue, now)
    changes.feed(db, ChangeKind.DUE, ref, lane.value, due_at)


def _running(db: Database, key: str) -> int:
    row = db.execute("SELECT running FROM slots WHERE key = ?", (stored(key),)).fetchone()
    return row[0] if row else 0


def _keys(request: Request) -> set[str]:
    return {slot.key for slot in request.slots}
