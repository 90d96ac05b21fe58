"""The bundles under Lambda's runtime client: events, errors, deadlines, snapshots.

Each function asks a Runtime API of ours, on tables of our own, which no deployed function reads.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamer_plugin_apigateway import wakes
from streamer_plugin_dynamodb import deployment
from streamer_plugin_dynamodb.database import Database, connect
from streamer_plugin_dynamodb.store import DynamoStore

from streamer_core.model.connection import Connection
from streamer_core.model.policy import Policy
from streamer_core.model.principal import Principal
from streamer_core.model.request import Request, Status
from streamer_core.ports import Change, ChangeKind, SystemClock
from streamer_core.testing.contracts.build import DAY_MS, a_request
from tests.e2e.aws.cloud import Cloud
from tests.e2e.aws.conftest import SECRETS
from tests.e2e.aws.kit import new_id
from tests.e2e.kit.bounds import eventually
from tests.e2e.kit.processes import children
from tests.emulators import CREDENTIALS, REGION
from tests.emulators.runtime import BOUND_S, RuntimeApi, function, runtime_api
from tests.samples import aws_events

pytestmark = pytest.mark.timeout(400)

PREFIX = "runtime-"
SNAPSHOT = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
COPY = """
import os, runpy, snapshot_restore_py
snapshot_restore_py.register_before_snapshot(os.fork)
runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
"""
"""Two processes that go on from the same memory, as those do that are restored from a snapshot."""


@pytest.fixture(scope="module")
def store(cloud: Cloud) -> Iterator[DynamoStore]:
    database = Database(PREFIX, connect(region=REGION, endpoint=cloud.address))
    deployment.create(database)
    store = DynamoStore(database, SystemClock())
    now = store.clock.now()
    store.put_connection(
        Connection(
            id=aws_events.CONNECTION_ID,
            principal=Principal(user="ann", tenant="acme"),
            connected_at=now,
            expires_at=now + 7_200_000,
        )
    )
    yield store
    deployment.delete(database)


@pytest.fixture
def environment(cloud: Cloud, store: DynamoStore) -> dict[str, str]:
    return {
        **CREDENTIALS,
        **SECRETS,
        "AWS_ENDPOINT_URL": cloud.address,
        "STREAMER_STORE": "dynamodb",
        "STREAMER_TRANSPORT": "apigateway",
        "STREAMER_FROZEN": "streamer.frozen.json",
        "STREAMER_PLUGINS__DYNAMODB__PREFIX": PREFIX,
        "STREAMER_PLUGINS__APIGATEWAY__ENDPOINT": f"{cloud.address}/prod",
    }


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    with runtime_api() as api:
        yield api


@pytest.fixture
def router(cloud: Cloud, api: RuntimeApi, environment: dict[str, str]) -> Iterator[RuntimeApi]:
    """Give the Runtime API that a router asks."""
    with function(cloud.bundles["router"], api, environment):
        yield api


def message(action: str) -> dict[str, Any]:
    return aws_events.message(f'{{"action": "{action}"}}')


def test_one_process_answers_one_event_after_the_other(router: RuntimeApi) -> None:
    for _ in range(3):
        answer = router.answer(message("echo"))
        assert answer["statusCode"] == 200
        assert '"type":"response"' in answer["body"].replace(" ", "")


def test_each_invocation_has_its_own_trace_or_none(router: RuntimeApi) -> None:
    traces = ("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1", None, "Root=1-2;Sampled=0")
    for trace in traces:
        answer = router.answer(message("traced"), trace=trace)
        assert ("null" if trace is None else trace) in answer["body"]


# -- errors


def test_a_start_that_fails_is_reported_and_ends_the_process(
    cloud: Cloud, api: RuntimeApi, environment: dict[str, str]
) -> None:
    wrong = {**environment, "STREAMER_PLUGINS__APIGATEWAY__AT_ONCE": "0"}
    with function(cloud.bundles["connect"], api, wrong) as process:
        told = api.failed.result(BOUND_S)
        assert process.wait(BOUND_S) == 1
    assert (told.kind, told.error_type) == ("init/error", "ConfigurationError")
    assert "at_once: must be from 1 to 500" in told.body["errorMessage"]


def test_an_event_that_is_none_is_an_error_and_the_next_is_answered(router: RuntimeApi) -> None:
    told = router.invoke({"nothing": "of ours"}).result(BOUND_S)
    assert (told.kind, told.body["errorType"]) == ("error", "KeyError")
    assert router.answer(message("echo"))["statusCode"] == 200


def test_no_text_of_a_handlers_exception_is_in_the_answer(router: RuntimeApi) -> None:
    body = router.answer(message("break"))["body"]
    assert "PROCESSING_FAILED" in body
    assert "secret" not in body


def test_a_store_that_is_not_there_is_told_without_a_word_of_why(
    cloud: Cloud, api: RuntimeApi, environment: dict[str, str]
) -> None:
    gone = {**environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    with function(cloud.bundles["router"], api, gone):
        body = json.loads(api.answer(aws_events.message('{"action": "echo", "id": "r-1"}'))["body"])
    assert (body["type"], body["request_id"]) == ("error", "r-1")
    assert body["error"]["code"] == "STORAGE_ERROR"
    assert "127.0.0.1" not in str(body)


# -- deadlines


def stored(store: DynamoStore, **payload: Any) -> Request:
    """Store a request of `count` that is due, and would be tried again much later."""
    policy = Policy(timeout_ms=60_000, max_attempts=2, backoff_ms=DAY_MS, backoff_cap_ms=DAY_MS)
    request = a_request(store.clock, new_id(), action="count", payload=payload, policy=policy)
    return store.enqueue(request).request


def waking(request: Request) -> Any:
    change = Change(kind=ChangeKind.DUE, ref=request.ref, due_at=request.due_at)
    return json.loads(wakes.encoded(change))


def kept(store: DynamoStore, request: Request) -> Request:
    found = store.get(request.ref)
    assert found is not None
    return found


def test_a_worker_gives_back_what_it_cannot_end_by_the_deadline(
    cloud: Cloud, store: DynamoStore, api: RuntimeApi, environment: dict[str, str]
) -> None:
    request = stored(store, steps=30, pause_s=0.25)
    with function(cloud.bundles["worker"], api, environment):
        eventually(lambda: api.waiting == 1, "the worker waits for an event", BOUND_S)
        deadline = store.clock.now() + 6_000
        api.answer(waking(request), left_ms=6_000)
        assert store.clock.now() < deadline
        given_back = kept(store, request)
        assert (given_back.status, given_back.spent) == (Status.PENDING, 0)
        assert 0 < given_back.checkpoint["step"] < 30
        api.answer(waking(request))
    assert kept(store, request).status is Status.COMPLETED


# -- snapshots


def sockets_to(port: int, pid: int) -> int:
    """Count the sockets of a process that are connected to a port."""
    held = {path.readlink().name for path in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and f"socket:[{row[9]}]" in held for row in rows)


def test_those_restored_from_one_snapshot_are_not_one(
    cloud: Cloud, store: DynamoStore, api: RuntimeApi, environment: dict[str, str]
) -> None:
    port = int(cloud.address.rpartition(":")[2])
    requests = [stored(store, pause_s=1, fail_before=2) for _ in range(2)]
    with function(
        cloud.bundles["worker"], api, {**environment, **SNAPSHOT}, ["-c", COPY]
    ) as process:
        eventually(lambda: api.waiting == 2, "both wait for an event", BOUND_S)
        assert api.restored == 2
        copies = [process.pid, *children(process.pid)]
        assert [sockets_to(port, pid) for pid in copies] == [0, 0]
        for told in [api.invoke(waking(request)) for request in requests]:
            assert told.result(BOUND_S).kind == "response"
        assert all(sockets_to(port, pid) for pid in copies), "they would have been seen"
    workers = [kept(store, request).failures[0].worker for request in requests]
    chance = {worker.rpartition(":")[2] for worker in workers}
    assert len(chance) == 2, "each has a name of its own, without the process's number too"
