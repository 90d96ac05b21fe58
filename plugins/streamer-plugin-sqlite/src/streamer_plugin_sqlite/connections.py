"""Connections and what they are subscribed to."""

from collections.abc import Sequence
from dataclasses import replace

from streamer_core.model.codec import connection_from_plain, connection_to_plain, dumps, loads
from streamer_core.model.connection import Connection
from streamer_core.model.counter import Count
from streamer_core.model.ids import request_subject
from streamer_core.model.request import ORIGIN_ALONE
from streamer_plugin_sqlite import levels
from streamer_plugin_sqlite.base import Base
from streamer_plugin_sqlite.database import Database
from streamer_plugin_sqlite.text import stored

_REQUEST = request_subject("")
_SUBSCRIBED = "SELECT connection_id FROM subscriptions WHERE subject = ? AND expires_at > ?"
_ORIGIN = """
UNION SELECT c.id FROM requests r JOIN connections c ON c.id = r.origin
WHERE r.ref = ? AND c.expires_at > ?
"""


class ConnectionVerbs(Base):
    """The store's verbs on connections and subscriptions."""

    def put_connection(self, connection: Connection, *, counts: Sequence[Count] = ()) -> None:
        """Store a connection, or renew the one of the same id and with it its subscriptions."""
        principal, expires_at = connection.principal, connection.expires_at
        whose = (connection.id, stored(principal.tenant), stored(principal.user))

        def write(db: Database) -> None:
            kept = _kept(db, connection.id)
            settle = kept.settle if kept else connection.settle if counts else ()
            if kept is None:
                levels.require(counts, levels.apply(db, counts, self.clock.now()))
            body = dumps(connection_to_plain(replace(connection, settle=settle)))
            db.execute(
                "INSERT OR REPLACE INTO connections "
                "(id, tenant, user, connected_at, expires_at, body) VALUES (?, ?, ?, ?, ?, ?)",
                (*whose, connection.connected_at, expires_at, body),
            )
            db.execute(
                "UPDATE subscriptions SET expires_at = ? WHERE connection_id = ?",
                (expires_at, connection.id),
            )

        self._write(write)

    def get_connection(self, connection_id: str) -> Connection | None:
        """Give a connection, or None."""
        asked = (connection_id, self.clock.now())
        row = self._peek(
            lambda db: db.execute(
                "SELECT body FROM connections WHERE id = ? AND expires_at > ?", asked
            ).fetchone()
        )
        return connection_from_plain(loads(row[0])) if row else None

    def delete_connection(self, connection_id: str) -> Connection | None:
        """Forget a connection and its subscriptions; an expired one is given back too."""

        def write(db: Database) -> Connection | None:
            kept = _kept(db, connection_id)
            db.execute("DELETE FROM connections WHERE id = ?", (connection_id,))
            db.execute("DELETE FROM subscriptions WHERE connection_id = ?", (connection_id,))
            if kept is not None:
                levels.settle(db, kept.settle, self.clock.now())
            return kept

        return self._write(write)

    def connections(
        self, *, tenant: str | None = None, user: str | None = None, limit: int = 1000
    ) -> Sequence[Connection]:
        """List open connections, oldest first; `user` needs `tenant`."""
        if user is not None and tenant is None:
            raise ValueError("user needs tenant")
        whose = [("tenant = ?", tenant), ("user = ?", user)]
        given = [(sql, stored(name)) for sql, name in whose if name is not None]
        where = " AND ".join(["expires_at > ?", *(sql for sql, _ in given)])
        sql = f"SELECT body FROM connections WHERE {where} ORDER BY connected_at LIMIT ?"  # noqa: S608
        asked = (self.clock.now(), *(name for _, name in given), limit)
        rows = self._peek(lambda db: db.execute(sql, asked).fetchall())
        return [connection_from_plain(loads(body)) for (body,) in rows]

    def count_connections(self) -> int:
        """Count all open connections."""
        sql, asked = "SELECT COUNT(*) FROM connections WHERE expires_at > ?", (self.clock.now(),)
        (count,) = self._peek(lambda db: db.execute(sql, asked).fetchone())
        return int(count)

    def expired_connections(self, limit: int = 100) -> Sequence[str]:
        """Give ids of stored connections whose time is over, for the sweeper to forget."""
        asked = (self.clock.now(), limit)
        rows = self._peek(
            lambda db: db.execute(
                "SELECT id FROM connections WHERE expires_at <= ? ORDER BY expires_at LIMIT ?",
                asked,
            ).fetchall()
        )
        return [connection_id for (connection_id,) in rows]

    def subscribe(self, subject: str, connection_id: str, *, expires_at: int) -> None:
        """Subscribe a connection; on a request's subject its `subscribers_version` rises."""

        def write(db: Database) -> None:
            db.execute(
                "INSERT OR REPLACE INTO subscriptions (subject, connection_id, expires_at) "
                "VALUES (?, ?, ?)",
                (stored(subject), connection_id, expires_at),
            )
            _follow(db, subject)

        self._write(write)

    def unsubscribe(self, subject: str, connection_id: str) -> None:
        """End a subscription; one that is not there is no error. Raises the version likewise."""

        def write(db: Database) -> None:
            db.execute(
                "DELETE FROM subscriptions WHERE subject = ? AND connection_id = ?",
                (stored(subject), connection_id),
            )
            if subject.startswith(_REQUEST):
                db.execute(
                    "UPDATE requests SET origin = NULL WHERE ref = ? AND origin = ?",
                    (stored(subject.removeprefix(_REQUEST)), connection_id),
                )
            _follow(db, subject)

        self._write(write)

    def subscribers(self, subject: str) -> Sequence[str]:
        """Give the ids of the connections subscribed."""
        sql, asked = _SUBSCRIBED, [stored(subject), self.clock.now()]
        if subject.startswith(_REQUEST):
            sql += _ORIGIN
            asked += [stored(subject.removeprefix(_REQUEST)), self.clock.now()]
        rows = self._peek(lambda db: db.execute(sql, asked).fetchall())
        return [connection_id for (connection_id,) in rows]


def _kept(db: Database, connection_id: str) -> Connection | None:
    row = db.execute("SELECT body FROM connections WHERE id = ?", (connection_id,)).fetchone()
    return connection_from_plain(loads(row[0])) if row else None


def _follow(db: Database, subject: str) -> None:
    if subject.startswith(_REQUEST):
        db.execute(
            "UPDATE requests SET subscribers_version = max(subscribers_version, ?) + 1 "
            "WHERE ref = ?",
            (ORIGIN_ALONE, stored(subject.removeprefix(_REQUEST))),
        )
