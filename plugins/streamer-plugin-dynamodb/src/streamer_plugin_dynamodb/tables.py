"""The five tables as PynamoDB models: keys, indexes, time to live and streams, declared once.

Only what keys and indexes are made of is declared; the other attributes are those of
`streamer_plugin_dynamodb.records`. An index is sparse: an item without its hash key is not in it.
No key says where a request stands, but for the indexes that find it by that.

| table | an item is | |
|---|---|---|
| connections | an open WebSocket | |
| requests | a request's record | stream: whom to wake |
| updates | what one write appended to a request, or a long text | |
| subscriptions | a connection's subscription to a subject | |
| state | counters, small values, slots, queues and the tenants' turns | |
"""

from collections.abc import Sequence
from typing import Any

from pynamodb.attributes import Attribute, NumberAttribute, UnicodeAttribute
from pynamodb.indexes import (
    AllProjection,
    GlobalSecondaryIndex,
    IncludeProjection,
    Index,
    KeysOnlyProjection,
    LocalSecondaryIndex,
)
from pynamodb.models import Model

TTL = "ttl"
"""The attribute, of Unix seconds, by which DynamoDB deletes an item some time later."""

# What a list may be narrowed by before the records themselves are read.
_OWNERS = ["of_user", "of_tenant", "of_action"]


class _Waiting(GlobalSecondaryIndex[Any]):
    """Waiting requests of one lane and tenant that need the same slots, the one due first first."""

    class Meta:
        index_name = "waiting"
        projection = KeysOnlyProjection()

    queue = UnicodeAttribute(hash_key=True)
    due_at = NumberAttribute(range_key=True)


class _Watch(GlobalSecondaryIndex[Any]):
    """What must happen by a time: `due/…`: a waiting request; `lease/…`: a held one."""

    class Meta:
        index_name = "watch"
        projection = IncludeProjection(["queue"])

    watch = UnicodeAttribute(hash_key=True)
    watch_at = NumberAttribute(range_key=True)


class _Unsent(GlobalSecondaryIndex[Any]):
    """Requests with updates that nobody has sent, by when the last was stored."""

    class Meta:
        index_name = "unsent"
        projection = KeysOnlyProjection()

    unsent = UnicodeAttribute(hash_key=True)
    stored_at = NumberAttribute(range_key=True)


class _Stopping(GlobalSecondaryIndex[Any]):
    """Running requests that were asked to stop."""

    class Meta:
        index_name = "stopping"
        projection = KeysOnlyProjection()

    stopping = UnicodeAttribute(hash_key=True)
    cancel_requested_at = NumberAttribute(range_key=True)


class _ByUser(GlobalSecondaryIndex[Any]):
    """A user's requests by age."""

    class Meta:
        index_name = "by_user"
        projection = IncludeProjection(_OWNERS)

    of_user = UnicodeAttribute(hash_key=True)
    listed = UnicodeAttribute(range_key=True)


class _ByTenant(GlobalSecondaryIndex[Any]):
    """A tenant's requests by age, in shards."""

    class Meta:
        index_name = "by_tenant"
        projection = IncludeProjection(_OWNERS)

    of_tenant = UnicodeAttribute(hash_key=True)
    listed = UnicodeAttribute(range_key=True)


class _ByAction(GlobalSecondaryIndex[Any]):
    """An action's requests by age, in shards."""

    class Meta:
        index_name = "by_action"
        projection = IncludeProjection(_OWNERS)

    of_action = UnicodeAttribute(hash_key=True)
    listed = UnicodeAttribute(range_key=True)


class _ByPhase(GlobalSecondaryIndex[Any]):
    """All requests that are open, or have ended in one way, by age, in shards."""

    class Meta:
        index_name = "by_phase"
        projection = IncludeProjection(_OWNERS)

    phase = UnicodeAttribute(hash_key=True)
    listed = UnicodeAttribute(range_key=True)


class Requests(Model):
    """A request's record, without the texts that are too long to lie in it."""

    class Meta:
        table_name = "requests"
        stream_view_type = "NEW_IMAGE"

    ref = UnicodeAttribute(hash_key=True)
    waiting = _Waiting()
    watching = _Watch()
    unsent_ones = _Unsent()
    stopping_ones = _Stopping()
    by_user = _ByUser()
    by_tenant = _ByTenant()
    by_action = _ByAction()
    by_phase = _ByPhase()


class Updates(Model):
    """`n` > 0: the updates of one append, `n` the last one's number; `n` < 0: a long text."""

    class Meta:
        table_name = "updates"

    request = UnicodeAttribute(hash_key=True)
    n = NumberAttribute(range_key=True)


class _ConnectionsByUser(GlobalSecondaryIndex[Any]):
    class Meta:
        index_name = "by_user"
        projection = AllProjection()

    of_user = UnicodeAttribute(hash_key=True)
    opened = UnicodeAttribute(range_key=True)


class _ConnectionsByTenant(GlobalSecondaryIndex[Any]):
    class Meta:
        index_name = "by_tenant"
        projection = AllProjection()

    of_tenant = UnicodeAttribute(hash_key=True)
    opened = UnicodeAttribute(range_key=True)


class _ConnectionsByAge(GlobalSecondaryIndex[Any]):
    class Meta:
        index_name = "by_age"
        projection = AllProjection()

    shard = UnicodeAttribute(hash_key=True)
    opened = UnicodeAttribute(range_key=True)


class _ConnectionsExpiring(GlobalSecondaryIndex[Any]):
    class Meta:
        index_name = "expiring"
        projection = KeysOnlyProjection()

    shard = UnicodeAttribute(hash_key=True)
    expires_at = NumberAttribute(range_key=True)


class Connections(Model):
    """An open WebSocket and who opened it."""

    class Meta:
        table_name = "connections"

    id = UnicodeAttribute(hash_key=True)
    by_user = _ConnectionsByUser()
    by_tenant = _ConnectionsByTenant()
    by_age = _ConnectionsByAge()
    expiring = _ConnectionsExpiring()


class _ByConnection(GlobalSecondaryIndex[Any]):
    class Meta:
        index_name = "by_connection"
        projection = KeysOnlyProjection()

    connection_id = UnicodeAttribute(hash_key=True)


class Subscriptions(Model):
    """A connection that follows a request or a topic."""

    class Meta:
        table_name = "subscriptions"

    subject = UnicodeAttribute(hash_key=True)
    connection_id = UnicodeAttribute(range_key=True)
    by_connection = _ByConnection()


class _ByRank(LocalSecondaryIndex[Any]):
    """A turn by when its tenant was served last; a queue or a sleeper by its due time."""

    class Meta:
        index_name = "by_rank"
        projection = KeysOnlyProjection()  # what else changes does not cost a second write

    of = UnicodeAttribute(hash_key=True)
    rank = NumberAttribute(range_key=True)


class State(Model):
    """Everything small: `of` says of what kind an item is, and `id` which one."""

    class Meta:
        table_name = "state"

    of = UnicodeAttribute(hash_key=True)
    id = UnicodeAttribute(range_key=True)
    by_rank = _ByRank()


TABLES: Sequence[type[Model]] = (Requests, Updates, Connections, Subscriptions, State)
"""All tables, in the order in which they are made."""


def definition(model: type[Model], name: str) -> dict[str, Any]:
    """Give what CreateTable is called with for a model, under this name."""
    indexes = [value for value in vars(model).values() if isinstance(value, Index)]
    of_kind: dict[str, list[Index[Any]]] = {
        "GlobalSecondaryIndexes": [i for i in indexes if isinstance(i, GlobalSecondaryIndex)],
        "LocalSecondaryIndexes": [i for i in indexes if isinstance(i, LocalSecondaryIndex)],
    }
    keyed = [_keys(model), *(_keys(type(index)) for index in indexes)]
    types = {one.attr_name: one.attr_type for keys in keyed for one in keys}
    made: dict[str, Any] = {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": attribute, "AttributeType": types[attribute]}
            for attribute in sorted(types)
        ],
        "KeySchema": _schema(model),
    }
    for kind, those in of_kind.items():
        if those:
            made[kind] = [_index(index) for index in those]
    if view := getattr(model.Meta, "stream_view_type", None):
        made["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": view}
    return made


def _index(index: Index[Any]) -> dict[str, Any]:
    projection: Any = index.Meta.projection
    given: dict[str, Any] = {"ProjectionType": projection.projection_type}
    if projection.non_key_attributes:
        given["NonKeyAttributes"] = list(projection.non_key_attributes)
    return {
        "IndexName": index.Meta.index_name,
        "KeySchema": _schema(type(index)),
        "Projection": given,
    }


def _schema(declared: type[Any]) -> list[dict[str, str]]:
    return [
        {"AttributeName": one.attr_name, "KeyType": "HASH" if one.is_hash_key else "RANGE"}
        for one in _keys(declared)
    ]


def _keys(declared: type[Any]) -> list[Attribute[Any]]:
    attributes = [one for one in vars(declared).values() if isinstance(one, Attribute)]
    keys = [one for one in attributes if one.is_hash_key or one.is_range_key]
    return sorted(keys, key=lambda one: not one.is_hash_key)
