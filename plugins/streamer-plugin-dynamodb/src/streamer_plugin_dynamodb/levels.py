"""Counters: levels that leak, added to all at once or not at all.

DynamoDB's expressions know no leak and no floor, so a level is read, computed and written on the
condition that nobody has written it since.
"""

from collections.abc import Mapping, Sequence

from streamer_core.model.counter import Count
from streamer_core.ports import Counted
from streamer_core.records import record
from streamer_plugin_dynamodb.database import Database, Write, absent, attribute, value
from streamer_plugin_dynamodb.items import Plain, key
from streamer_plugin_dynamodb.tables import State


@record
class Levels:
    """Counters as they were read."""

    items: Mapping[str, Plain]
    now: int

    def level(self, count: Count) -> float:
        """Give a counter's level now."""
        item = self.items.get(count.key)
        if item is None or item.get("expires_at", self.now + 1) <= self.now:
            return 0.0
        return count.leaked(item["level"], self.now - item["at"])

    def counted(self, counts: Sequence[Count]) -> tuple[Counted, dict[str, float]]:
        """Add all, or none where one has no room; gives the new levels by key, too."""
        after: dict[str, float] = {}
        for count in counts:
            level = after.get(count.key, self.level(count))
            if not count.fits(level):
                refused = Counted(
                    accepted=False,
                    levels=tuple(map(self.level, counts)),
                    refused=count,
                    retry_after_ms=count.room_in_ms(level),
                )
                return refused, {}
            after[count.key] = count.added(level)
        levels = tuple(after[count.key] for count in counts)
        return Counted(accepted=True, levels=levels), after

    def settled(self, counts: Sequence[Count]) -> dict[str, float]:
        """Add all, without regard to limits: what ends a request cannot be refused."""
        after: dict[str, float] = {}
        for count in counts:
            after[count.key] = count.added(after.get(count.key, self.level(count)))
        return after

    def writes(self, counts: Sequence[Count], after: Mapping[str, float]) -> list[Write]:
        """Give the writes of new levels; each is refused where somebody was faster."""
        expiries = {count.key: count.expires_at for count in counts}
        return [self._write(name, level, expiries[name]) for name, level in after.items()]

    def _write(self, name: str, level: float, expires_at: int | None) -> Write:
        item = self.items.get(name)
        seen = absent("of") if item is None else attribute("revision") == value(item["revision"])
        return Write(
            kind="Put",
            table=State,
            key={
                **counter_key(name),
                "level": float(level),
                # Another process's clock may be ahead: were `at` turned back, it would leak twice.
                "at": max(self.now, item["at"]) if item else self.now,
                "expires_at": expires_at,
                "ttl": ttl_of(expires_at),
                "revision": item["revision"] + 1 if item else 1,
            },
            condition=seen,
        )


def read_levels(db: Database, counts: Sequence[Count], now: int) -> Levels:
    """Read counters, each once."""
    names = {key("counter", count.key): count.key for count in counts}
    found = db.get_all(State, [counter_key(name) for name in names.values()]) if names else []
    return Levels(items={names[item["of"]]: item for item in found}, now=now)


def counter_key(name: str) -> Plain:
    """Give a counter's key."""
    return {"of": key("counter", name), "id": "counter"}


def ttl_of(expires_at: int | None) -> int | None:
    """Give the second by which DynamoDB may delete what expires at this millisecond."""
    return None if expires_at is None else -(-expires_at // 1000)
