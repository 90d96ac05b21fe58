"""Old and new code side by side, as during a deployment.

`records_v1.json` holds items as version 1 of the record wrote them, one of each kind. It is never
written anew: when the record's shape changes, this version's items are recorded beside it.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from streamer_plugin_dynamodb.database import Database
from streamer_plugin_dynamodb.store import DynamoStore
from streamer_plugin_dynamodb.tables import TABLES, Requests

from streamer_core.model.request import RECORD_VERSION, Request, Status
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import DAY_MS, a_chunk, a_request
from streamer_core.testing.contracts.store.base import claimed, claimed_next, completed, stored

RECORDED = Path(__file__).with_name("records_v1.json")
NEWER_ATTRIBUTES: dict[str, Any] = {
    "region": {"S": "eu"},
    "labels": {"M": {"team": {"L": [{"S": "a"}, {"NULL": True}]}}},
}

Items = dict[str, list[dict[str, Any]]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(database: Database, clock: ManualClock) -> DynamoStore:
    return DynamoStore(database, clock)


def load(store: DynamoStore, items: Items) -> None:
    for name, those in items.items():
        for item in those:
            store._db._client.put_item(TableName=f"{store._db.prefix}{name}", Item=item)


def dump(store: DynamoStore) -> Items:
    return {
        str(model.Meta.table_name): store._db._client.scan(TableName=store._db.name(model))["Items"]
        for model in TABLES
    }


def recorded() -> Items:
    items: Items = json.loads(RECORDED.read_text("utf-8"))
    return items


def by_id(store: DynamoStore, items: Items) -> dict[str, Request]:
    requests = [stored(store, item["ref"]["S"]) for item in items["requests"]]
    return {request.id: request for request in requests}


def make_records(store: DynamoStore) -> None:
    """Make what is recorded: a request in each state, long texts, a chunk, a checkpoint."""
    clock = store.clock
    for name in ("done", "running", "retrying", "waiting"):
        store.enqueue(a_request(clock, name, payload={"text": "x" * 2_000}))
    done, running, retrying = (
        claimed(store, a_request(clock, name).ref) for name in ("done", "running", "retrying")
    )
    store.append(done.ref, [a_chunk(clock)] * 2, fence=done.fence, checkpoint={"page": 1})
    completed(store, done)
    store.append(running.ref, [a_chunk(clock)], fence=running.fence, checkpoint="x" * 2_000)
    store.requeue(retrying.ref, fence=retrying.fence, due_at=clock.now(), spend=True)


def test_what_version_1_wrote_goes_on(store: DynamoStore, clock: ManualClock) -> None:
    items = recorded()
    load(store, items)
    found = by_id(store, items)
    assert {name: request.status for name, request in found.items()} == {
        "done": Status.COMPLETED,
        "running": Status.PROCESSING,
        "retrying": Status.RETRYING,
        "waiting": Status.PENDING,
    }
    assert all(request.version == 1 for request in found.values())
    assert found["running"].checkpoint == "x" * 2_000
    assert found["done"].outcome == {"result": "done"}
    assert len(store.updates(found["done"].ref)) == 3

    store.append(found["running"].ref, [a_chunk(clock)], fence=found["running"].fence)
    completed(store, found["running"])
    assert [update.seq for update in store.updates(found["running"].ref)] == [1, 2, 3]
    names = {request.id for _ in range(2) if (request := claimed_next(store))}
    assert names == {"waiting", "retrying"}


def test_what_this_version_writes_has_all_that_version_1_reads(store: DynamoStore) -> None:
    """So that a function of the version before, not yet replaced, can go on with it."""
    make_records(store)
    then, now = recorded(), dump(store)
    for name, those in then.items():
        assert _shape(now[name]) >= _shape(those), name
    assert RECORD_VERSION == 1


def test_what_a_newer_version_wrote_stays_whole(store: DynamoStore, clock: ManualClock) -> None:
    """Attributes and fields that are not known here are kept through every move."""
    request = a_request(clock, extra={"newer": {"nested": [1, 2]}}, version=RECORD_VERSION + 1)
    store.enqueue(request)
    names = {f"#{n}": name for n, name in enumerate(NEWER_ATTRIBUTES)}
    values = {f":{n}": value for n, value in enumerate(NEWER_ATTRIBUTES.values())}
    store._db._client.update_item(
        TableName=store._db.name(Requests),
        Key={"ref": {"S": request.ref}},
        UpdateExpression="SET " + ", ".join(f"#{n} = :{n}" for n in range(len(names))),
        ExpressionAttributeNames=names,
        ExpressionAttributeValues=values,
    )
    held = claimed(store, request.ref)
    store.heartbeat(held.ref, fence=held.fence, lease_until=clock.now() + DAY_MS)
    store.append(held.ref, [a_chunk(clock)], fence=held.fence, checkpoint=1)
    store.requeue(held.ref, fence=held.fence, due_at=clock.now(), spend=True)
    completed(store, claimed(store, request.ref))
    store.mark_sent(request.ref, 2)
    kept = stored(store, request.ref)
    assert (kept.extra, kept.version) == (request.extra, RECORD_VERSION + 1)
    (item,) = dump(store)["requests"]
    assert {name: item[name] for name in NEWER_ATTRIBUTES} == NEWER_ATTRIBUTES


def _shape(items: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Give the attributes there are, and of what type."""
    return {(name, kind) for item in items for name, typed in item.items() for kind in typed}
