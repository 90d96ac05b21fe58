"""Concurrency slots, and who is set aside for a full one.

`aside` holds the requests that were found wanting a slot; their queues are blocked. Whenever a slot
has room after something happened to it (let go, claimed with room left, one that waited for it was
cancelled), the first of each lane that is set aside for it is brought back, so that as long as
there is room and somebody set aside, somebody may be claimed. One request for each place, not a
crowd: what it leaves, it passes on.
"""

from collections.abc import Sequence

from streamer_core.model.message import Priority
from streamer_core.model.policy import Slot
from streamer_core.ports import ChangeKind
from streamer_plugin_sqlite import changes, queues, turns
from streamer_plugin_sqlite.database import Database
from streamer_plugin_sqlite.queues import Waiting
from streamer_plugin_sqlite.text import stored

_FIRST_ASIDE = """
SELECT a.n, a.queue, r.ref, r.due_at FROM aside a JOIN requests r ON r.n = a.n
WHERE a.slot = ? AND a.lane = ? AND a.room > ? ORDER BY a.turn, a.due_at LIMIT 1
"""


def full(db: Database, slots: Sequence[Slot]) -> Slot | None:
    """Give the first slot that has no room."""
    return next((s for s in slots if _running(db, s.key) >= s.at_most), None)


def hold(db: Database, slots: Sequence[Slot]) -> None:
    """Take slots, without regard to their limits."""
    for key in _keys(slots):
        db.execute(
            "INSERT INTO slots (key, running) VALUES (?, 1) "
            "ON CONFLICT (key) DO UPDATE SET running = running + 1",
            (stored(key),),
        )


def let_go(db: Database, slots: Sequence[Slot], now: int) -> None:
    """Let slots go."""
    for key in _keys(slots):
        db.execute("UPDATE slots SET running = running - 1 WHERE key = ?", (stored(key),))
        db.execute("DELETE FROM slots WHERE key = ? AND running <= 0", (stored(key),))
    offer(db, slots, now)


def set_aside(db: Database, waiting: Waiting, slot: Slot, now: int) -> None:
    """Set a request aside for a slot that is full for it, and its queue with it."""
    lane, due_at = waiting.lane, waiting.due_at
    turn = turns.last_served(db, lane, waiting.tenant)
    db.execute(
        "INSERT OR REPLACE INTO aside (n, slot, room, lane, turn, due_at, queue) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (waiting.n, stored(slot.key), slot.at_most, lane, turn, due_at, waiting.queue),
    )
    queues.block(db, waiting.queue)
    offer(
        db, waiting.slots, now, but=slot.key
    )  # it may have been brought back for the place it leaves


def leave(db: Database, n: int, queue: int | None, slots: Sequence[Slot], now: int) -> None:
    """Note that a request waits no more, and pass on what room there is."""
    if not slots:
        return
    if db.execute("DELETE FROM aside WHERE n = ?", (n,)).rowcount:
        assert queue is not None
        queues.unblock(db, queue, now)
    offer(db, slots, now)


def offer(db: Database, slots: Sequence[Slot], now: int, but: str | None = None) -> None:
    """Bring back one request of each lane for each of the slots that has room."""
    for key in _keys(slots):
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


def _keys(slots: Sequence[Slot]) -> set[str]:
    return {slot.key for slot in slots}
