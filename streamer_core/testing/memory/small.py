"""Counters and small values."""

from collections.abc import Mapping, Sequence
from typing import Any

from streamer_core.errors import Conflict
from streamer_core.model.codec import dumps, loads
from streamer_core.model.counter import Count
from streamer_core.ports import Counted, Value
from streamer_core.testing.memory.base import MemoryBase
from streamer_core.testing.memory.data import KeptValue
from streamer_core.testing.memory.faults import verb


class SmallVerbs(MemoryBase):
    """The store's verbs on counters and small values."""

    @verb
    def count(self, counts: Sequence[Count]) -> Counted:
        """Apply all counts in one step, or none where one has no room."""
        return self.data.counters.apply(counts, self.clock.now())

    @verb
    def get_value(self, key: str) -> Value | None:
        """Give a small value, or None."""
        kept = self._kept(key)
        return _value(kept) if kept else None

    @verb
    def put_value(
        self, key: str, data: Any, *, expires_at: int | None = None, version: int | None = None
    ) -> int:
        """Write a small value and give its new version."""
        kept = self._kept(key)
        stored = kept.version if kept else 0
        if version not in {None, stored}:
            raise Conflict(f"value {key!r} is at version {stored}, not {version}")
        self.data.values[key] = KeptValue(
            text=dumps(data), version=stored + 1, expires_at=expires_at
        )
        return stored + 1

    @verb
    def delete_value(self, key: str) -> None:
        """Forget a small value."""
        self.data.values.pop(key, None)

    @verb
    def values(
        self, prefix: str, limit: int = 1000, *, after: str | None = None
    ) -> Mapping[str, Value]:
        """List the small values whose key begins with the prefix, by key."""
        begin = [key for key in self.data.values if key.startswith(prefix)]
        keys = sorted(key for key in begin if after is None or key > after)
        kept = ((key, value) for key in keys if (value := self._kept(key)))
        return {key: _value(value) for (key, value), _ in zip(kept, range(limit), strict=False)}

    def _kept(self, key: str) -> KeptValue | None:
        kept = self.data.values.get(key)
        if kept is None or (kept.expires_at is not None and kept.expires_at <= self.clock.now()):
            return None
        return kept


def _value(kept: KeptValue) -> Value:
    return Value(data=loads(kept.text), version=kept.version)
