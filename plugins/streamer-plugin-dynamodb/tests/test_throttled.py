"""Whole requests on tables that DynamoDB throttles: none is lost, none ends twice."""

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from pynamodb.connection import Connection
from streamer_plugin_dynamodb.database import Database, connect
from streamer_plugin_dynamodb.store import DynamoStore

from streamer_core import Context, handler
from streamer_core.errors import StoreError
from streamer_core.model.request import Status
from tests.e2e.kit.seed import chance
from tests.emulators import REGION
from tests.unit.harness import Client, Rig, mirror

REQUESTS = 6

# One emulator will do: it is the test that throttles.
pytestmark = pytest.mark.parametrize("endpoint", ["ministack"], indirect=True)


class Throttling:
    """Answers a share of all calls as a throttled table does."""

    def __init__(self, connection: Connection, chance: random.Random) -> None:
        self.share = 0.0
        self.refused = 0
        self._chance = chance
        connection.client.meta.events.register("before-send.dynamodb.*", self._send)

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        if self._chance.random() >= self.share:
            return None
        self.refused += 1
        made = AWSResponse(request.url, 400, {}, None)
        kind = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
        made._content = json.dumps({"__type": kind, "message": "slow down"}).encode()
        return made


@handler("fickle", mode="async", retry={"max_attempts": 3, "backoff": "1s"})
def fickle(payload: dict[str, Any], ctx: Context) -> str:
    for number in range(3):
        ctx.emit([ctx.attempt, number])
    if ctx.attempt < payload["good_at"]:
        raise OSError("not yet")
    return f"attempt {ctx.attempt}"


class Throttled:
    def __init__(self, database: Database, connection: Connection, throttling: Throttling) -> None:
        self.throttling = throttling
        own = Database(database.prefix, connection, patience_s=0.1)
        self.rig = Rig(fickle, open_store=lambda clock: DynamoStore(own, clock), chunk_buffer=2)

    def work(self) -> None:
        """Do what workers and the sweeper do, and leave it where the store does not answer."""
        for _ in range(REQUESTS):
            with suppress(StoreError):
                self.rig.work()
        with suppress(StoreError):
            self.rig.app.sweep()


@pytest.fixture
def throttled(database: Database, endpoint: str, request: Any) -> Iterator[Throttled]:
    connection = connect(region=REGION, endpoint=endpoint)
    yield Throttled(database, connection, Throttling(connection, chance(request.node.name)))
    connection.client.close()


def test_what_is_acknowledged_ends_once_whatever_is_throttled(throttled: Throttled) -> None:
    rig, client = throttled.rig, throttled.rig.client()
    good_at = {f"r-{number}": 1 + number % 4 for number in range(REQUESTS)}
    throttled.throttling.share = 0.45
    answers = {name: ask(client, name, attempt) for name, attempt in good_at.items()}
    refused = {name: one["error"]["code"] for name, one in answers.items() if "error" in one}
    assert set(refused.values()) <= {"STORAGE_ERROR"}
    for _ in range(2):
        throttled.work()
        rig.clock.advance(70_000)
    assert throttled.throttling.refused > REQUESTS, "or nothing was shown"

    throttled.throttling.share = 0.0
    for name in refused:  # what was stored all the same is a repeat
        ask(client, name, good_at[name])
    for _ in range(6):
        throttled.work()
        rig.clock.advance(70_000)
    for name, attempt in good_at.items():
        record = rig.stored(client.ref(name))
        shown = mirror([one for one in client.inbox if one.get("request_id") == name])
        assert shown.terminal is not None, name
        assert record.sent_seq == record.last_seq
        # A lost write, or a claim that nobody heard of, costs an attempt.
        if shown.terminal["type"] == "complete":
            assert record.status is Status.COMPLETED
            assert attempt < 4, "which is never good"
            assert shown.output == [[record.attempt, number] for number in range(3)]
        else:
            assert record.status is Status.FAILED


def ask(client: Client, name: str, good_at: int) -> dict[str, Any]:
    answer: dict[str, Any] = client.send("fickle", {"good_at": good_at}, id=name)[0]
    return answer
