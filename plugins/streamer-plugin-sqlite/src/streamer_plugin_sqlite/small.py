"""Counters and small values."""

from collections.abc import Mapping, Sequence
from typing import Any

from streamer_core.errors import Conflict, ItemTooLarge
from streamer_core.model.codec import dumps, loads
from streamer_core.model.counter import Count
from streamer_core.ports import Counted, Value
from streamer_plugin_sqlite import levels
from streamer_plugin_sqlite.base import Base
from streamer_plugin_sqlite.database import Database
from streamer_plugin_sqlite.text import stored, told

_LARGEST = 64 * 1024  # the port's own limit
_LAST = "\U0010ffff"  # sorts after every other character
_ALIVE = "(expires_at IS NULL OR expires_at > ?)"
_GET = f"SELECT version, body FROM small_values WHERE key = ? AND {_ALIVE}"  # noqa: S608
_LIST = f"""
SELECT key, version, body FROM small_values WHERE key >= ? AND key < ? AND {_ALIVE}
{{later}} ORDER BY key LIMIT ?
"""  # noqa: S608


class SmallVerbs(Base):
    """The store's verbs on counters and small values."""

    def count(self, counts: Sequence[Count]) -> Counted:
        """Apply all counts in one step, or none where one has no room."""
        return self._write(lambda db: levels.apply(db, counts, self.clock.now()))

    def get_value(self, key: str) -> Value | None:
        """Give a small value, or None."""
        asked = (stored(key), self.clock.now())
        row = self._read(lambda db: db.execute(_GET, asked).fetchone())
        return Value(data=loads(row[1]), version=row[0]) if row else None

    def put_value(
        self, key: str, data: Any, *, expires_at: int | None = None, version: int | None = None
    ) -> int:
        """Write a small value (≤ 64 KB of JSON) and give its new version."""
        body = dumps(data)
        if len(body) > _LARGEST:
            raise ItemTooLarge(f"value {key!r} has {len(body)} bytes, more than {_LARGEST}")

        def write(db: Database) -> int:
            row = db.execute(_GET, (stored(key), self.clock.now())).fetchone()
            kept: int = row[0] if row else 0
            if version not in {None, kept}:
                raise Conflict(f"value {key!r} is at version {kept}, not {version}")
            db.execute(
                "INSERT OR REPLACE INTO small_values (key, version, expires_at, body) "
                "VALUES (?, ?, ?, ?)",
                (stored(key), kept + 1, expires_at, body),
            )
            return kept + 1

        return self._write(write)

    def delete_value(self, key: str) -> None:
        """Forget a small value."""
        self._write(lambda db: db.execute("DELETE FROM small_values WHERE key = ?", (stored(key),)))

    def values(
        self, prefix: str, limit: int = 1000, *, after: str | None = None
    ) -> Mapping[str, Value]:
        """List the small values whose key begins with the prefix, by key."""
        asked: list[Any] = [stored(prefix), stored(prefix + _LAST), self.clock.now()]
        if after is not None:
            asked.append(stored(after))
        sql = _LIST.format(later="" if after is None else "AND key > ?")
        rows = self._read(lambda db: db.execute(sql, (*asked, limit)).fetchall())
        return {told(key): Value(data=loads(body), version=v) for key, v, body in rows}
