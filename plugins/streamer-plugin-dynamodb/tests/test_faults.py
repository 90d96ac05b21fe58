"""What DynamoDB does when it is busy, far away or slow to tell, and what becomes of it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import EndpointConnectionError
from botocore.httpsession import URLLib3Session
from pynamodb.connection import Connection
from streamer_plugin_dynamodb import queues
from streamer_plugin_dynamodb.database import Database, connect
from streamer_plugin_dynamodb.store import DynamoStore
from streamer_plugin_dynamodb.tables import Requests, Updates

from streamer_core.errors import Conflict, StoreError, Throttled
from streamer_core.model.counter import Count
from streamer_core.model.ids import request_subject
from streamer_core.model.policy import Slot
from streamer_core.model.request import Status
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import DAY_MS, a_chunk, a_connection, a_request, an_end
from streamer_core.testing.contracts.store.base import claimed, claimed_next, completed, running
from tests.emulators import REGION

Answer = Callable[[AWSPreparedRequest], AWSResponse | None]


class Line:
    """The line to DynamoDB: it counts calls, and a test may answer some of them itself."""

    def __init__(self, connection: Connection) -> None:
        self.calls: list[str] = []
        self.faults: dict[str, list[Answer]] = {}
        connection.client.meta.events.register("before-send.dynamodb.*", self._send)

    def fail(self, operation: str, *answers: Answer) -> None:
        """Answer the next calls of an operation like this, one after the other."""
        self.faults.setdefault(operation, []).extend(answers)

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        operation = request.headers["X-Amz-Target"].decode().partition(".")[2]
        self.calls.append(operation)
        faults = self.faults.get(operation)
        return faults.pop(0)(request) if faults else None


def answered(status: int, body: dict[str, Any]) -> Answer:
    def answer(request: AWSPreparedRequest) -> AWSResponse:
        made = AWSResponse(request.url, status, {}, None)
        made._content = json.dumps(body).encode()
        return made

    return answer


def empty(status: int) -> Answer:
    """Answer as what stands before DynamoDB does."""

    def answer(request: AWSPreparedRequest) -> AWSResponse:
        made = AWSResponse(request.url, status, {}, None)
        made._content = b""
        return made

    return answer


def unreached(request: AWSPreparedRequest) -> AWSResponse:
    raise EndpointConnectionError(endpoint_url=request.url)


def refused(code: str) -> Answer:
    return answered(400, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "no"})


def cancelled(*reasons: str) -> Answer:
    kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException"
    body = {"__type": kind, "CancellationReasons": [{"Code": reason} for reason in reasons]}
    return answered(400, body)


def lost(request: AWSPreparedRequest) -> AWSResponse | None:
    """Have it done, and lose the answer."""
    URLLib3Session().send(request)
    return answered(500, {"__type": "InternalServerError"})(request)


def done(_: AWSPreparedRequest) -> AWSResponse | None:
    """Have it done, and answered."""
    return None


@pytest.fixture
def line(endpoint: str) -> Iterator[tuple[Connection, Line]]:
    connection = connect(region=REGION, endpoint=endpoint)
    yield connection, Line(connection)
    connection.client.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(database: Database, line: tuple[Connection, Line], clock: ManualClock) -> DynamoStore:
    return DynamoStore(Database(database.prefix, line[0], patience_s=1.0), clock)


@pytest.fixture
def calls(line: tuple[Connection, Line]) -> Line:
    return line[1]


BUSY = ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"]


@pytest.mark.parametrize("code", BUSY)
def test_a_throttled_write_is_made_again(
    store: DynamoStore, calls: Line, clock: ManualClock, code: str
) -> None:
    calls.fail("PutItem", *[refused(code)] * 4)
    assert store.enqueue(a_request(clock)).created
    assert calls.calls.count("PutItem") >= 5


BROKEN = answered(500, {"__type": "com.amazon.coral.service#InternalFailure"})


@pytest.mark.parametrize("trouble", [empty(502), empty(503), BROKEN, unreached])
def test_what_breaks_before_dynamodb_passes(
    store: DynamoStore, calls: Line, clock: ManualClock, trouble: Answer
) -> None:
    calls.fail("PutItem", trouble)
    assert store.enqueue(a_request(clock)).created


def test_a_store_that_stays_throttled_says_so(
    store: DynamoStore, calls: Line, clock: ManualClock
) -> None:
    calls.fail("PutItem", *[refused(BUSY[0])] * 500)
    with pytest.raises(Throttled, match="patience"):
        store.enqueue(a_request(clock))
    calls.faults.clear()
    assert store.get(a_request(clock).ref) is None
    assert store.enqueue(a_request(clock)).created


@pytest.mark.parametrize("reason", ["TransactionConflict", "ThrottlingError"])
def test_a_transaction_in_others_way_is_made_again(
    store: DynamoStore, calls: Line, clock: ManualClock, reason: str
) -> None:
    held = running(store)
    calls.fail("TransactWriteItems", *[cancelled("None", reason)] * 2)
    store.append(held.ref, [a_chunk(clock)] * 2, fence=held.fence)
    assert [update.seq for update in store.updates(held.ref)] == [1, 2]


@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"]
)
def test_what_will_not_pass_is_an_error_at_once(
    store: DynamoStore, calls: Line, clock: ManualClock, code: str
) -> None:
    calls.fail("PutItem", refused(code))
    with pytest.raises(StoreError, match=code):
        store.enqueue(a_request(clock))


def test_keys_left_unprocessed_are_read_again(
    store: DynamoStore, calls: Line, clock: ManualClock
) -> None:
    request = a_request(clock, payload={"text": "x" * 5000})
    store.enqueue(request)
    name = store._db.name(Updates)

    def nothing(asked: AWSPreparedRequest) -> AWSResponse | None:
        keys = json.loads(asked.body)["RequestItems"]
        assert list(keys) == [name]
        return answered(200, {"Responses": {}, "UnprocessedKeys": keys})(asked)

    calls.fail("BatchGetItem", nothing, nothing)
    assert store.get(request.ref) == request


def test_items_left_unprocessed_are_deleted_again(
    store: DynamoStore, calls: Line, clock: ManualClock
) -> None:
    store.put_connection(a_connection(clock))
    store.subscribe("topic/4/acme/x", "c-1", expires_at=clock.now() + DAY_MS)

    def nothing(asked: AWSPreparedRequest) -> AWSResponse | None:
        return answered(200, {"UnprocessedItems": json.loads(asked.body)["RequestItems"]})(asked)

    calls.fail("BatchWriteItem", nothing, nothing)
    store.delete_connection("c-1")
    assert list(store.subscribers("topic/4/acme/x")) == []


def test_a_claim_whose_answer_was_lost_is_a_claim(
    store: DynamoStore, calls: Line, clock: ManualClock
) -> None:
    """The client repeats it, the condition does not hold any more, and the mark tells why."""
    ref = store.enqueue(a_request(clock)).request.ref
    calls.fail("UpdateItem", lost)
    request = claimed(store, ref)
    assert request.fence == 1
    assert store.get(ref) == request


@pytest.mark.parametrize("operation", ["UpdateItem", "TransactWriteItems"])
def test_an_end_whose_answer_was_lost_is_one_end(
    store: DynamoStore, calls: Line, clock: ManualClock, operation: str, endpoint: str
) -> None:
    settle = (Count(key="done"),) if operation == "TransactWriteItems" else ()
    held = running(store, settle=settle)
    calls.fail(operation, lost)
    try:
        completed(store, held)
    except StoreError:
        # On AWS a transaction's token makes its repetition a success. moto does not look at it, and
        # ministack turns the level 1.0 into 1, and takes the same again for something else.
        assert operation == "TransactWriteItems"
    assert store.count([Count(key="done", amount=0)]).levels == (float(len(settle)),)
    assert len(store.updates(held.ref)) == 1
    kept = store.get(held.ref)
    assert kept is not None
    assert kept.status is Status.COMPLETED


def test_an_append_of_which_nobody_knows_is_not_made_again(
    store: DynamoStore, calls: Line, clock: ManualClock
) -> None:
    """It was done, its answer was lost, and DynamoDB would not hear of it a second time."""
    held = running(store)
    calls.fail("TransactWriteItems", lost, refused("AccessDeniedException"))
    with pytest.raises(StoreError, match="AccessDenied"):
        store.append(held.ref, [a_chunk(clock)], fence=held.fence)
    assert [update.seq for update in store.updates(held.ref)] == [1]
    assert store.append(held.ref, [a_chunk(clock)], fence=held.fence).last_seq == 2


def test_a_claim_is_one_though_its_tenants_turn_could_not_be_moved(
    store: DynamoStore, calls: Line, clock: ManualClock
) -> None:
    store.enqueue(a_request(clock))
    calls.fail("UpdateItem", done, refused("AccessDeniedException"))
    assert claimed_next(store) is not None


def test_a_request_is_stored_though_its_queue_could_not_be_told(
    store: DynamoStore, calls: Line, clock: ManualClock
) -> None:
    """Whoever is woken for it may find others due first; so the sweeper tells its queue."""
    calls.fail("UpdateItem", refused("AccessDeniedException"))
    ref = store.enqueue(a_request(clock)).request.ref
    clock.advance(1)
    assert claimed_next(store) is None
    assert [change.ref for change in store.due(clock.now())] == [ref]
    held = claimed_next(store)
    assert held is not None
    assert held.ref == ref

    calls.fail("UpdateItem", done, refused("AccessDeniedException"))
    store.requeue(ref, fence=held.fence, due_at=clock.now() + 1, spend=False)
    clock.advance(2)
    store.due(clock.now())
    assert claimed_next(store) is not None


def test_an_enqueue_whose_answer_was_lost_is_created(
    store: DynamoStore, calls: Line, clock: ManualClock
) -> None:
    calls.fail("PutItem", lost)
    assert store.enqueue(a_request(clock)).created
    assert claimed_next(store) is not None


def test_a_value_whose_answer_was_lost_is_no_conflict(store: DynamoStore, calls: Line) -> None:
    calls.fail("PutItem", lost)
    version = store.put_value("key", 1, version=0)
    with pytest.raises(Conflict):
        store.put_value("key", 2, version=0)
    assert store.put_value("key", 3, version=version) > version


def test_a_queue_whose_waker_died_is_opened_by_the_sweeper(
    store: DynamoStore, calls: Line, clock: ManualClock
) -> None:
    """Its slot was let go, and whoever did so could not say it any more."""
    slots = (Slot(key="one", at_most=1),)
    held = running(store, "holder", slots=slots)
    waiting = a_request(clock, "waiting", slots=slots)
    store.enqueue(waiting)
    assert claimed_next(store) is None
    calls.fail("GetItem", *[refused("AccessDeniedException")] * 3)
    completed(store, held)
    calls.faults.clear()
    assert claimed_next(store) is None
    clock.advance(1)
    assert [change.ref for change in store.due(clock.now())] == [waiting.ref]
    assert claimed(store, waiting.ref).ref == waiting.ref


def test_who_sleeps_while_another_request_comes_wakes_for_it(
    store: DynamoStore,
    calls: Line,
    database: Database,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A tenant's time to sleep is over, and it falls asleep for good, between two looks at it."""
    monkeypatch.setattr(queues, "INDEX_LAG_MS", 0)
    other = DynamoStore(database, clock)
    first = a_request(clock, "first", due_at=clock.now() + 1_000)
    store.enqueue(first)
    clock.advance(1_000)
    completed(other, claimed(other, first.ref))

    def meanwhile(_: AWSPreparedRequest) -> AWSResponse | None:
        assert claimed_next(other) is None
        return None

    calls.fail("TransactWriteItems", done, meanwhile)
    slots = (Slot(key="one", at_most=1),)
    second = a_request(clock, "second", due_at=clock.now() + 5_000, slots=slots)
    store.enqueue(second)
    assert not calls.faults["TransactWriteItems"]
    clock.advance(5_000)
    held = claimed_next(other)
    assert held is not None
    assert held.ref == second.ref


def test_a_holder_need_not_read_what_it_holds(
    store: DynamoStore, calls: Line, clock: ManualClock
) -> None:
    held = running(store)
    calls.calls.clear()
    store.heartbeat(held.ref, fence=held.fence, lease_until=clock.now() + DAY_MS)
    store.append(held.ref, [a_chunk(clock)], fence=held.fence)
    completed(store, held)
    assert calls.calls == ["UpdateItem", "TransactWriteItems", "UpdateItem"]


def test_what_others_hold_is_not_kept(
    store: DynamoStore, database: Database, clock: ManualClock
) -> None:
    """A function that many come back to would keep all that they follow."""
    held = running(DynamoStore(database, clock))
    store.subscribe(request_subject(held.ref), "c-1", expires_at=clock.now() + DAY_MS)
    store.append(held.ref, [a_chunk(clock)], fence=held.fence)
    store.mark_sent(held.ref, 1)
    assert store._held.get(held.ref) is None


def test_what_has_ended_and_was_sent_may_expire_with_its_updates(
    store: DynamoStore, clock: ManualClock
) -> None:
    """And not before: DynamoDB deletes by itself what carries a time to live."""
    held = running(store, payload={"text": "x" * 5000})
    store.append(held.ref, [a_chunk(clock)], fence=held.fence)
    store.finish(
        held.ref,
        Status.COMPLETED,
        [a_chunk(clock), an_end(clock)],
        fence=held.fence,
        expires_at=clock.now() + DAY_MS,
    )
    store.mark_sent(held.ref, 2)
    assert _ttls(store) == [None] * 4
    store.mark_sent(held.ref, 3)
    assert _ttls(store) == [(clock.now() + DAY_MS) // 1000] * 4


def test_updates_that_may_expire_are_read_consistently(
    store: DynamoStore, calls: Line, clock: ManualClock
) -> None:
    """One that was written just now, and is not seen, would never be deleted."""
    held = running(store)
    completed(store, held)
    asked: list[dict[str, Any]] = []

    def noted(request: AWSPreparedRequest) -> AWSResponse | None:
        asked.append(json.loads(request.body))
        return None

    calls.fail("Query", noted)
    store.mark_sent(held.ref, 1)
    assert [one["ConsistentRead"] for one in asked] == [True]


def _ttls(store: DynamoStore) -> list[Any]:
    client = store._db._client
    items = [
        item
        for model in (Requests, Updates)
        for item in client.scan(TableName=store._db.name(model))["Items"]
    ]
    return [int(item["ttl"]["N"]) if "ttl" in item else None for item in items]
