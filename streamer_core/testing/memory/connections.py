"""Connections and what they are subscribed to."""

from collections.abc import Sequence
from dataclasses import replace

from streamer_core.model.codec import connection_from_plain, connection_to_plain
from streamer_core.model.connection import Connection
from streamer_core.model.counter import Count
from streamer_core.model.ids import request_subject
from streamer_core.testing.memory.base import MemoryBase
from streamer_core.testing.memory.counters import require
from streamer_core.testing.memory.data import copied
from streamer_core.testing.memory.faults import verb

_REQUEST = request_subject("")


class ConnectionVerbs(MemoryBase):
    """The store's verbs on connections and subscriptions."""

    @verb
    def put_connection(self, connection: Connection, *, counts: Sequence[Count] = ()) -> None:
        """Store a connection, or renew the one of the same id and with it its subscriptions."""
        kept = self.data.connections.get(connection.id)
        settle = kept.settle if kept else connection.settle if counts else ()
        if kept is None:
            require(counts, self.data.counters.apply(counts, self.clock.now()))
        self.data.connections[connection.id] = _copied(replace(connection, settle=settle))
        for subscribed in self.data.subscriptions.values():
            if connection.id in subscribed:
                subscribed[connection.id] = connection.expires_at

    @verb
    def get_connection(self, connection_id: str) -> Connection | None:
        """Give a connection, or None."""
        connection = self.data.connections.get(connection_id)
        return _copied(connection) if connection and self._open(connection) else None

    @verb
    def delete_connection(self, connection_id: str) -> Connection | None:
        """Forget a connection and its subscriptions; an expired one is given back too."""
        for subscribed in self.data.subscriptions.values():
            subscribed.pop(connection_id, None)
        connection = self.data.connections.pop(connection_id, None)
        if connection is not None:
            self.data.counters.settle(connection.settle, self.clock.now())
        return connection

    @verb
    def connections(
        self, *, tenant: str | None = None, user: str | None = None, limit: int = 1000
    ) -> Sequence[Connection]:
        """List open connections, oldest first."""
        if user is not None and tenant is None:
            raise ValueError("user needs tenant")
        found = [
            connection
            for connection in self.data.connections.values()
            if self._open(connection)
            and tenant in {None, connection.principal.tenant}
            and user in {None, connection.principal.user}
        ]
        found.sort(key=lambda connection: connection.connected_at)
        return [_copied(connection) for connection in found[:limit]]

    @verb
    def count_connections(self) -> int:
        """Count all open connections."""
        return sum(map(self._open, self.data.connections.values()))

    @verb
    def expired_connections(self, limit: int = 100) -> Sequence[str]:
        """Give ids of connections whose time is over."""
        kept = self.data.connections.values()
        return [connection.id for connection in kept if not self._open(connection)][:limit]

    @verb
    def subscribe(self, subject: str, connection_id: str, *, expires_at: int) -> None:
        """Subscribe a connection."""
        self.data.subscriptions[subject][connection_id] = expires_at
        self._follow_subject(subject)

    @verb
    def unsubscribe(self, subject: str, connection_id: str) -> None:
        """End a subscription."""
        self.data.subscriptions[subject].pop(connection_id, None)
        self._follow_subject(subject)

    @verb
    def subscribers(self, subject: str) -> Sequence[str]:
        """Give the ids of the connections subscribed."""
        now = self.clock.now()
        subscribed = self.data.subscriptions.get(subject, {})
        return [key for key, expires_at in subscribed.items() if expires_at > now]

    def _follow_subject(self, subject: str) -> None:
        if subject.startswith(_REQUEST):
            self._follow(subject.removeprefix(_REQUEST), self.clock.now())

    def _open(self, connection: Connection) -> bool:
        return connection.expires_at > self.clock.now()


def _copied(connection: Connection) -> Connection:
    return connection_from_plain(copied(connection_to_plain(connection)))
