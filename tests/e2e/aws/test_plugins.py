"""Production plugins in the functions, each of which may do what the template allows its role."""

import asyncio
import json
import time
from typing import Any

import jwt
import pytest
from streamer_plugin_dlq.entry import Entry
from streamer_plugin_dlq.wanted import Wanted
from websockets.exceptions import InvalidStatus

from tests.e2e.aws.cloud import PREFIX, Cloud
from tests.e2e.aws.conftest import SECRETS
from tests.e2e.aws.kit import details, joined, new_id, scenario
from tests.e2e.kit.bounds import soon
from tests.samples import aws_events

pytestmark = pytest.mark.timeout(400)


@scenario
async def test_a_limit_holds_on_all_connections(cloud: Cloud) -> None:
    async with joined(cloud) as one, joined(cloud) as other:
        answers = [await wire.ask("scarce") for wire in (one, other, one)]
        assert [answer["type"] for answer in answers] == ["response", "response", "error"]
        assert answers[-1]["error"]["code"] == "RATE_LIMITED"


@scenario
async def test_a_circuit_opens(cloud: Cloud) -> None:
    async with joined(cloud) as wire:
        codes = [(await wire.ask("fragile"))["error"]["code"] for _ in range(3)]
        assert codes == ["PROCESSING_FAILED", "PROCESSING_FAILED", "CIRCUIT_OPEN"]


def token(secret: str = SECRETS["JWT_SECRET"]) -> str:
    claims = {"sub": "ada", "org": "acme", "exp": int(time.time()) + 600}
    return jwt.encode(claims, secret, algorithm="HS256")


def found(cloud: Cloud, **wanted: Any) -> list[Entry]:
    return list(cloud.letters.all(Wanted(**wanted)))


def held(cloud: Cloud, queue: str) -> int:
    """Give how many messages a queue holds, those included that somebody has taken just now."""
    answer = cloud.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])
    counts = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    return sum(int(answer["Attributes"][name]) for name in counts)


@scenario
async def test_a_signed_token_lets_in_and_another_does_not(cloud: Cloud) -> None:
    async with joined(cloud, token()) as wire:
        assert (await wire.ask("echo", {"x": 1}))["data"] == {"x": 1}
    with pytest.raises(InvalidStatus):
        async with joined(cloud, token("another secret of thirty-two bytes")):
            pass


@scenario
async def test_what_fails_for_good_is_kept(cloud: Cloud) -> None:
    async with joined(cloud, token()) as wire:
        name = await wire.send("reject", id=new_id())
        ref = (await wire.answer(name))["ref"]
        await wire.end(name)

    def kept() -> list[Entry]:
        return [one for one in found(cloud, action="reject") if one.ref == ref]

    (entry,) = await soon(kept, "the dead letter")
    assert (entry.tenant, entry.user, entry.code) == ("acme", "ada", "jobs.never")


@scenario
async def test_what_lies_in_the_queues_lands_by_a_sweep(cloud: Cloud) -> None:
    """Records are parked in a queue where the store cannot keep them."""
    poison = aws_events.inserted(77, change={"S": "due"}, queue={"N": "7"})
    with cloud.lacking("StatePolicy", "dynamodb:PutItem"):
        await asyncio.to_thread(cloud.invoke, "processor", aws_events.stream(poison))
    timer = {"ref": new_id(), "lane": "normal", "due_at": 1}
    cloud.client("sqs").send_message(QueueUrl=cloud.dead_timers, MessageBody=json.dumps(timer))
    assert (held(cloud, cloud.parking), held(cloud, cloud.dead_timers)) == (1, 1)
    await asyncio.to_thread(cloud.invoke, "sweeper", {})
    for queue, message in (("parking", poison), ("timers-dead", timer)):
        assert message in [details(cloud, one) for one in found(cloud, kind=f"{PREFIX}{queue}")]
    assert (held(cloud, cloud.parking), held(cloud, cloud.dead_timers)) == (0, 0)
