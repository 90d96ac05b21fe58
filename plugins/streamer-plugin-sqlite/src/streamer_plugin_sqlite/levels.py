"""Levels that leak, added to all at once or not at all."""

from collections.abc import Sequence

from streamer_core.errors import LimitReached
from streamer_core.model.counter import Count
from streamer_core.ports import Counted
from streamer_plugin_sqlite.database import Database
from streamer_plugin_sqlite.text import stored


def apply(db: Database, counts: Sequence[Count], now: int) -> Counted:
    """Apply all, or none where one has no room; a key that comes twice counts twice."""
    if not counts:
        return Counted(accepted=True, levels=())
    after: dict[str, float] = {}
    for count in counts:
        level = after.get(count.key, _level(db, count, now))
        if not count.fits(level):
            return Counted(
                accepted=False,
                levels=tuple(_level(db, other, now) for other in counts),
                refused=count,
                retry_after_ms=count.room_in_ms(level),
            )
        after[count.key] = count.added(level)
    if any(count.amount for count in counts):  # else somebody only looks
        _write(db, counts, after, now)
    return Counted(accepted=True, levels=tuple(after[count.key] for count in counts))


def require(counts: Sequence[Count], counted: Counted) -> None:
    """Raise LimitReached where one had no room."""
    if counted.refused is not None:
        raise LimitReached(
            counted.refused.key,
            level=counted.levels[list(counts).index(counted.refused)],
            retry_after_ms=counted.retry_after_ms,
        )


def settle(db: Database, counts: Sequence[Count], now: int) -> None:
    """Apply all, without regard to limits: what ends a request cannot be refused."""
    if not counts:
        return
    after: dict[str, float] = {}
    for count in counts:
        after[count.key] = count.added(after.get(count.key, _level(db, count, now)))
    _write(db, counts, after, now)


def _level(db: Database, count: Count, now: int) -> float:
    row = db.execute(
        "SELECT level, at FROM counters WHERE key = ? AND (expires_at IS NULL OR expires_at > ?)",
        (stored(count.key), now),
    ).fetchone()
    return count.leaked(row[0], now - row[1]) if row else 0.0


def _write(db: Database, counts: Sequence[Count], after: dict[str, float], now: int) -> None:
    db.executemany(
        # Another process's clock may be ahead: were `at` turned back, it would leak twice.
        "INSERT INTO counters (key, level, at, expires_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (key) DO UPDATE SET level = excluded.level, at = max(at, excluded.at), "
        "expires_at = excluded.expires_at",
        [(stored(count.key), after[count.key], now, count.expires_at) for count in counts],
    )
