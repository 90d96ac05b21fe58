"""Counters and small values."""

from collections.abc import Mapping, Sequence
from heapq import merge
from itertools import islice
from typing import Any

from pynamodb.expressions.condition import Condition

from streamer_core.errors import Conflict, ItemTooLarge
from streamer_core.model.codec import dumps, loads
from streamer_core.model.counter import Count
from streamer_core.ports import Counted, Value
from streamer_plugin_dynamodb.base import Base
from streamer_plugin_dynamodb.database import Pauses, Unmet, Write, absent, attribute, value
from streamer_plugin_dynamodb.items import Plain, escaped
from streamer_plugin_dynamodb.levels import read_levels, ttl_of
from streamer_plugin_dynamodb.records import shard_of, shards
from streamer_plugin_dynamodb.tables import State

_LARGEST = 64 * 1024  # the port's own limit
_LAST = "\x7f"  # sorts after every character of an escaped key
_LONGEST_KEY = 1024  # bytes of an item's second key: DynamoDB's limit


class SmallVerbs(Base):
    """The store's verbs on counters and small values."""

    def count(self, counts: Sequence[Count]) -> Counted:
        """Apply all counts in one step, or none where one has no room."""
        pauses = Pauses(self._db.patience_s)
        while True:
            levels = read_levels(self._db, counts, self.clock.now())
            counted, after = levels.counted(counts)
            if not after or all(count.amount == 0 for count in counts):
                return counted
            try:
                self._db.write(*levels.writes(counts, after))
            except Unmet:
                pauses.take("the counters changed faster than they could be read")
            else:
                return counted

    def get_value(self, key: str) -> Value | None:
        """Give a small value, or None."""
        item = self._value(key)
        return _value_of(item) if item else None

    def put_value(
        self, key: str, data: Any, *, expires_at: int | None = None, version: int | None = None
    ) -> int:
        """Write a small value (≤ 64 KB of JSON) and give its new version."""
        body = dumps(data)
        if len(body) > _LARGEST:
            raise ItemTooLarge(f"value {key!r:.100} has {len(body)} bytes, more than {_LARGEST}")
        pauses = Pauses(self._db.patience_s)
        while True:
            kept = self._db.get(State, _key(key))
            present = kept is not None and self._is_alive(kept)
            before = kept["version"] if kept and present else 0
            if version not in {None, before}:
                raise Conflict(f"value {key!r:.100} is at version {before}, not {version}")
            # Versions go on where a value has expired: an old one must not fit again.
            after: int = kept["version"] + 1 if kept else 1
            try:
                self._db.write(self._put(key, body, expires_at, kept, after))
            except Unmet:
                pauses.take(f"value {key!r:.100} was written by others until patience was over")
            else:
                return after

    def _put(
        self, key: str, body: str, expires_at: int | None, kept: Plain | None, version: int
    ) -> Write:
        seen: Condition = absent("of")
        if kept is not None:
            seen = attribute("version") == value(kept["version"])
        return Write(
            kind="Put",
            table=State,
            key={
                **_key(key),
                "key": dumps(key),
                "body": body,
                "version": version,
                "expires_at": expires_at,
                "ttl": ttl_of(expires_at),
            },
            condition=seen,
        )

    def delete_value(self, key: str) -> None:
        """Forget a small value."""
        self._db.delete_all(State, [_key(key)])

    def values(
        self, prefix: str, limit: int = 1000, *, after: str | None = None
    ) -> Mapping[str, Value]:
        """List the small values whose key begins with the prefix, by key."""
        first = escaped(prefix) if prefix else ""
        last, seen = first + _LAST, None if after is None else escaped(after)
        if seen is not None and seen > first:
            first = seen
        if first > last:
            return {}
        walks = []
        for shard in shards():
            within: Condition = attribute("of") == value(_shard(shard))
            if first:
                within &= attribute("id").between(value(first), value(last))
            walks.append(self._db.walk(State, within, consistent=True))
        listed = merge(*walks, key=lambda item: str(item["id"]))
        found = (item for item in listed if item["id"] != seen and self._is_alive(item))
        return {loads(item["key"]): _value_of(item) for item in islice(found, limit)}

    def _value(self, key: str) -> dict[str, Any] | None:
        item = self._db.get(State, _key(key))
        return item if item and self._is_alive(item) else None

    def _is_alive(self, item: Plain) -> bool:
        expires_at = item.get("expires_at")
        return expires_at is None or expires_at > self.clock.now()


def _key(name: str) -> Plain:
    escaped_name = escaped(name)
    if len(escaped_name) > _LONGEST_KEY:
        raise ItemTooLarge(f"the key {name!r:.100} is longer than {_LONGEST_KEY} bytes")
    return {"of": _shard(shard_of(escaped_name)), "id": escaped_name}


def _shard(shard: str) -> str:
    return f"value/{shard}"


def _value_of(item: Plain) -> Value:
    return Value(data=loads(item["body"]), version=item["version"])
