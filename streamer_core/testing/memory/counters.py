"""Levels that leak, added to all at once or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass

from streamer_core.errors import LimitReached
from streamer_core.model.counter import Count
from streamer_core.ports import Counted


@dataclass(frozen=True, kw_only=True, slots=True)
class _Level:
    level: float
    at: int
    expires_at: int | None


class Counters:
    """The counters, by key. A level leaks by the rate of the count that is applied to it."""

    def __init__(self) -> None:
        self._levels: dict[str, _Level] = {}

    def apply(self, counts: Sequence[Count], now: int) -> Counted:
        """Apply all, or none where one has no room; a key that comes twice counts twice."""
        after = dict(self._levels)
        for count in counts:
            level = _level(after, count, now)
            if not count.fits(level):
                return self._refusal(counts, count, level, now)
            after[count.key] = _added(after, count, now)
        self._levels = after
        return Counted(accepted=True, levels=tuple(after[c.key].level for c in counts))

    def settle(self, counts: Sequence[Count], now: int) -> None:
        """Apply all, without regard to limits: what ends a request cannot be refused."""
        for count in counts:
            self._levels[count.key] = _added(self._levels, count, now)

    def purge(self, now: int, limit: int) -> int:
        """Forget expired counters."""
        gone = [key for key, kept in self._levels.items() if _expired(kept, now)][:limit]
        for key in gone:
            del self._levels[key]
        return len(gone)

    def _refusal(self, counts: Sequence[Count], refused: Count, level: float, now: int) -> Counted:
        return Counted(
            accepted=False,
            levels=tuple(_level(self._levels, count, now) for count in counts),
            refused=refused,
            retry_after_ms=refused.room_in_ms(level),
        )


def require(counts: Sequence[Count], counted: Counted) -> None:
    """Raise LimitReached where one had no room."""
    if counted.refused is not None:
        raise LimitReached(
            counted.refused.key,
            level=counted.levels[list(counts).index(counted.refused)],
            retry_after_ms=counted.retry_after_ms,
        )


def _level(levels: dict[str, _Level], count: Count, now: int) -> float:
    kept = levels.get(count.key)
    if kept is None or _expired(kept, now):
        return 0.0
    return count.leaked(kept.level, now - kept.at)


def _added(levels: dict[str, _Level], count: Count, now: int) -> _Level:
    kept = levels.get(count.key)
    return _Level(
        level=count.added(_level(levels, count, now)),
        at=max(now, kept.at) if kept else now,  # a clock turned back must not leak twice
        expires_at=count.expires_at,
    )


def _expired(kept: _Level, now: int) -> bool:
    return kept.expires_at is not None and kept.expires_at <= now
