"""Connections and what they are subscribed to."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from heapq import merge
from itertools import islice
from typing import Any

from pynamodb.expressions.condition import Condition

from streamer_core.errors import LimitReached, LostLease
from streamer_core.model import transitions
from streamer_core.model.codec import connection_from_plain, connection_to_plain, dumps, loads
from streamer_core.model.connection import Connection
from streamer_core.model.counter import Count
from streamer_core.model.ids import request_subject
from streamer_core.model.transitions import Moved
from streamer_plugin_dynamodb.base import Base, Step
from streamer_plugin_dynamodb.database import (
    Pauses,
    Unmet,
    Write,
    absent,
    attribute,
    present,
    put,
    value,
)
from streamer_plugin_dynamodb.items import Plain, from_item, key, to_item
from streamer_plugin_dynamodb.levels import read_levels, ttl_of
from streamer_plugin_dynamodb.records import Stored, shard_of, shards
from streamer_plugin_dynamodb.tables import Connections, Subscriptions

_REQUEST = request_subject("")
_KEPT_FOR_SWEEPER_MS = 86_400_000
"""How long DynamoDB leaves an expired connection to the sweeper, which tells the others of it."""


class ConnectionVerbs(Base):
    """The store's verbs on connections and subscriptions."""

    def put_connection(self, connection: Connection, *, counts: Sequence[Count] = ()) -> None:
        """Store a connection, or renew the one of the same id and with it its subscriptions."""
        if counts or connection.settle:
            renewed = self._put_counted(connection, counts)
        else:
            renewed = self._put_uncounted(connection)
        if renewed:
            self._renew_subscriptions(connection.id, connection.expires_at)

    def _put_uncounted(self, connection: Connection) -> bool:
        """Store a connection that nothing is counted for; True where it was there already."""
        asked = {"Item": to_item(_item(connection)), **self._where_uncounted()}
        try:
            return bool(self._db.call("put_item", asked).get("Attributes"))
        except Unmet:
            return self._put_counted(connection, ())

    def _where_uncounted(self) -> dict[str, Any]:
        """Give what a call asks that must leave connections alone that something is counted for."""
        names: dict[str, str] = {}
        condition = absent("counted").serialize(names, {})
        return {
            "TableName": self._db.name(Connections),
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {short: name for name, short in names.items()},
            "ReturnValues": "ALL_OLD",
        }

    def _put_counted(self, connection: Connection, counts: Sequence[Count]) -> bool:
        """Store a connection with what is counted for it; True where it was there already."""
        pauses = Pauses(self._db.patience_s)
        while True:
            kept = self._db.get(Connections, {"id": connection.id})
            try:
                if kept is None:
                    self._put_new(connection, counts)
                else:
                    after = replace(connection, settle=_connection(kept).settle)
                    self._db.write(_put(after, present("id")))
            except Unmet:
                pauses.take("the counters changed faster than they could be read")
            else:
                return kept is not None

    def _put_new(self, connection: Connection, counts: Sequence[Count]) -> None:
        after = connection if counts else replace(connection, settle=())
        levels = read_levels(self._db, counts, self.clock.now())
        counted, changed = levels.counted(counts)
        if counted.refused is not None:
            raise LimitReached(
                counted.refused.key,
                level=levels.level(counted.refused),
                retry_after_ms=counted.retry_after_ms,
            )
        self._db.write(_put(after, absent("id")), *levels.writes(counts, changed))

    def _renew_subscriptions(self, connection_id: str, expires_at: int) -> None:
        for one in self._subscriptions_of(connection_id):
            write = Write(
                kind="Update",
                table=Subscriptions,
                key=one,
                actions=[put("expires_at", expires_at), put("ttl", ttl_of(expires_at))],
                condition=present("subject"),
            )
            with suppress(Unmet):  # it was ended meanwhile
                self._db.write(write)

    def get_connection(self, connection_id: str) -> Connection | None:
        """Give a connection, or None."""
        item = self._db.get(Connections, {"id": connection_id})
        alive = item is not None and item["expires_at"] > self.clock.now()
        return _connection(item) if item and alive else None

    def delete_connection(self, connection_id: str) -> Connection | None:
        """Forget a connection and its subscriptions; an expired one is given back too."""
        item = self._delete(connection_id)
        self._db.delete_all(Subscriptions, list(self._subscriptions_of(connection_id)))
        return _connection(item) if item else None

    def _delete(self, connection_id: str) -> Plain | None:
        asked = {"Key": to_item({"id": connection_id}), **self._where_uncounted()}
        try:
            item = self._db.call("delete_item", asked).get("Attributes")
        except Unmet:
            return self._delete_counted(connection_id)
        return from_item(item) if item else None

    def _delete_counted(self, connection_id: str) -> Plain | None:
        """Forget a connection that something is counted for, and settle that, in one write."""
        pauses = Pauses(self._db.patience_s)
        while (kept := self._db.get(Connections, {"id": connection_id})) is not None:
            counts = _connection(kept).settle
            levels = read_levels(self._db, counts, self.clock.now())
            gone = Write(
                kind="Delete",
                table=Connections,
                key={"id": connection_id},
                condition=present("id"),
            )
            try:
                self._db.write(gone, *levels.writes(counts, levels.settled(counts)))
            except Unmet:
                pauses.take("the counters changed faster than they could be read")
            else:
                return kept
        return None

    def connections(
        self, *, tenant: str | None = None, user: str | None = None, limit: int = 1000
    ) -> Sequence[Connection]:
        """List open connections, oldest first; `user` needs `tenant`."""
        if user is not None and tenant is None:
            raise ValueError("user needs tenant")
        if tenant is None:
            index, keys = "by_age", [("shard", shard) for shard in shards()]
        elif user is None:
            index, keys = "by_tenant", [("of_tenant", key(tenant))]
        else:
            index, keys = "by_user", [("of_user", key(tenant, user))]
        alive = attribute("expires_at") > value(self.clock.now())
        walks = [
            self._db.walk(
                Connections,
                attribute(name) == value(one),
                index=index,
                filtered=alive,
                limit=limit,
            )
            for name, one in keys
        ]
        found = merge(*walks, key=lambda item: item["opened"])
        return [_connection(item) for item in islice(found, limit)]

    def count_connections(self) -> int:
        """Count all open connections, in the smallest of the indexes."""
        open_ones = attribute("expires_at") > value(self.clock.now())
        return sum(
            self._db.count(
                Connections, (attribute("shard") == value(shard)) & open_ones, index="expiring"
            )
            for shard in shards()
        )

    def expired_connections(self, limit: int = 100) -> Sequence[str]:
        """Give ids of stored connections whose time is over, for the sweeper to forget."""
        ids: list[str] = []
        for shard in shards():
            over: Condition = attribute("shard") == value(shard)
            over &= attribute("expires_at") <= value(self.clock.now())
            page = self._db.query(Connections, over, index="expiring", limit=limit)
            ids += [item["id"] for item in page.items]
        return ids[:limit]

    def subscribe(self, subject: str, connection_id: str, *, expires_at: int) -> None:
        """Subscribe a connection; on a request's subject its `subscribers_version` rises."""

        def written(life: str = "") -> Write:
            item = {
                **_subscription(subject, life, connection_id),
                "expires_at": expires_at,
                "ttl": ttl_of(expires_at),
            }
            return Write(kind="Put", table=Subscriptions, key=item)

        if not subject.startswith(_REQUEST):
            self._db.write(written())
            return
        self._follow(subject, lambda stored: _followed(stored, also=written(stored.life)))

    def unsubscribe(self, subject: str, connection_id: str) -> None:
        """End a subscription; one that is not there is no error. Raises the version likewise."""

        def written(life: str = "") -> Write:
            item = _subscription(subject, life, connection_id)
            return Write(kind="Delete", table=Subscriptions, key=item)

        if not subject.startswith(_REQUEST):
            self._db.write(written())
            return

        def step(stored: Stored) -> Step:
            origin = None if stored.origin == connection_id else stored.origin
            return _followed(stored, also=written(stored.life), origin=origin)

        self._follow(subject, step)

    def _follow(self, subject: str, step: Any) -> None:
        with suppress(LostLease):  # there is no such request to follow
            self._move(subject.removeprefix(_REQUEST), step)

    def subscribers(self, subject: str) -> Sequence[str]:
        """Give the ids of the connections subscribed."""
        life, origin = "", None
        if subject.startswith(_REQUEST):
            stored = self._alive(subject.removeprefix(_REQUEST))
            if stored is None:
                return []
            life, origin = stored.life, stored.origin
        items = self._db.walk(
            Subscriptions,
            attribute("subject") == value(key(subject, life)),
            filtered=attribute("expires_at") > value(self.clock.now()),
            consistent=True,
        )
        ids = [str(item["connection_id"]) for item in items]
        if origin is not None and origin not in ids and self.get_connection(origin):
            ids.append(origin)
        return ids

    def _subscriptions_of(self, connection_id: str) -> list[Plain]:
        mine = attribute("connection_id") == value(connection_id)
        return [
            {"subject": item["subject"], "connection_id": connection_id}
            for item in self._db.walk(Subscriptions, mine, index="by_connection")
        ]


def _item(connection: Connection) -> Plain:
    principal, expires_at = connection.principal, connection.expires_at
    return {
        "id": connection.id,
        "of_user": key(principal.tenant, principal.user),
        "of_tenant": key(principal.tenant),
        "shard": shard_of(connection.id),
        "opened": f"{connection.connected_at:015d}/{connection.id}",
        "expires_at": expires_at,
        "ttl": ttl_of(expires_at + _KEPT_FOR_SWEEPER_MS),
        "counted": 1 if connection.settle else None,
        "body": dumps(connection_to_plain(connection)),
    }


def _put(connection: Connection, condition: Condition) -> Write:
    return Write(kind="Put", table=Connections, key=_item(connection), condition=condition)


def _subscription(subject: str, life: str, connection_id: str) -> Plain:
    return {"subject": key(subject, life), "connection_id": connection_id}


def _followed(stored: Stored, *, also: Write, **changes: object) -> Step:
    moved = Moved(request=transitions.followed(stored.request))
    return Step(moved=moved, also=[also], changes=changes)


def _connection(item: Plain) -> Connection:
    return connection_from_plain(loads(item["body"]))
