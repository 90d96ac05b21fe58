"""What streams, workers and clients do wrong, and what becomes of a request all the same."""

import asyncio
import time
from typing import Any

import pytest
from streamer_plugin_dlq.entry import STREAM
from streamer_plugin_dlq.wanted import Wanted

from streamer_core.model.request import Request, Status
from tests.e2e.aws.cloud import PREFIX, Cloud
from tests.e2e.aws.kit import chunks, details, joined, new_id, scenario
from tests.e2e.kit.bounds import soon
from tests.samples import aws_events

pytestmark = pytest.mark.timeout(400)

WORKER = f"{PREFIX}worker"


def due(ref: str, number: int = 1) -> dict[str, Any]:
    record = aws_events.inserted(
        number,
        ref={"S": ref},
        change={"S": "due"},
        queue={"S": "normal/acme/="},
        due_at={"N": "1"},
        newer={"M": {"of": {"S": "a version to come"}}},
    )
    record["dynamodb"]["Keys"] = {"ref": {"S": ref}}
    return record


async def called(cloud: Cloud, name: str, event: Any) -> Any:
    return await asyncio.to_thread(cloud.invoke, name, event)


def kept(cloud: Cloud, ref: str) -> Request:
    request = cloud.store.get(ref)
    assert request is not None
    return request


@scenario
async def test_records_that_come_again_run_nothing_again(cloud: Cloud) -> None:
    async with joined(cloud) as wire:
        name = await wire.send("count", {"steps": 2}, id=new_id())
        ref = (await wire.answer(name))["ref"]
        await wire.end(name)
        for _ in range(3):
            await called(cloud, "processor", aws_events.stream(due(ref, 2), due(ref, 1)))
        await called(cloud, "worker", {"ref": ref, "lane": "normal", "due_at": 1})
    assert (kept(cloud, ref).attempt, kept(cloud, ref).status) == (1, Status.COMPLETED)
    assert len(cloud.store.updates(ref)) == 3


@scenario
async def test_a_poisoned_record_holds_up_none_behind_it(cloud: Cloud) -> None:
    request = due(new_id(), 1)
    poison = aws_events.inserted(2, change={"S": "due"}, queue={"N": "7"})
    answer = await called(cloud, "processor", aws_events.stream(request, poison, due(new_id(), 3)))
    assert answer == {"batchItemFailures": []}
    (entry,) = await asyncio.to_thread(list, cloud.letters.all(Wanted(source=STREAM)))
    assert details(cloud, entry) == poison


@scenario
async def test_of_two_workers_one_runs_a_request(cloud: Cloud) -> None:
    async with joined(cloud) as wire:
        name = await wire.send("count", {"steps": 3, "pause_s": 0.2}, id=new_id())
        ref = (await wire.answer(name))["ref"]
        wake = {"ref": ref, "lane": "normal", "due_at": 1}
        await asyncio.gather(*(called(cloud, "worker", wake) for _ in range(3)))
        await wire.end(name)
        assert chunks(wire, name) == [0, 1, 2]
    assert (kept(cloud, ref).attempt, kept(cloud, ref).fence) == (1, 1)


@scenario
async def test_a_client_that_goes_between_two_sends_costs_nothing(cloud: Cloud) -> None:
    async with joined(cloud) as wire:
        name = await wire.send("count", {"steps": 4, "pause_s": 0.5}, id=new_id())
        ref = (await wire.answer(name))["ref"]
        await soon(lambda: chunks(wire, name) if name in wire.by_request else None, "a chunk")
    await soon(lambda: kept(cloud, ref).status.terminal, "it goes on without its client")
    assert kept(cloud, ref).status is Status.COMPLETED
    assert [update.seq for update in cloud.store.updates(ref)] == [1, 2, 3, 4, 5]


@scenario
async def test_long_work_holds_up_no_short_work_behind_it(cloud: Cloud) -> None:
    """Not even on the same shard of the stream: whoever reads it runs nothing."""
    async with joined(cloud) as wire:
        long = await wire.send("count", {"steps": 60, "pause_s": 0.5}, id=new_id())
        await wire.answer(long)
        await soon(lambda: chunks(wire, long) if long in wire.by_request else None, "it runs")
        began = time.monotonic()
        short = await wire.send("count", {"steps": 1}, id=new_id())
        await wire.end(short)
        assert time.monotonic() - began < 15
        assert wire.ended(long) is None
        await wire.ask("streamer.cancel", {"request_id": long})
        await wire.end(long)


@scenario
async def test_work_that_outlives_its_invocation_goes_on_in_the_next(cloud: Cloud) -> None:
    functions = cloud.client("lambda")
    usual = functions.get_function_configuration(FunctionName=WORKER)["Timeout"]
    functions.update_function_configuration(FunctionName=WORKER, Timeout=8)
    try:
        async with joined(cloud) as wire:
            name = await wire.send("count", {"steps": 30, "pause_s": 0.5}, id=new_id())
            ref = (await wire.answer(name))["ref"]
            end = await wire.end(name, bound_s=90)
            assert end["result"] == {"steps": 30}
            assert sorted(set(chunks(wire, name))) == list(range(30))
    finally:
        functions.update_function_configuration(FunctionName=WORKER, Timeout=usual)
    request = kept(cloud, ref)
    assert (request.attempt, request.spent) == (1, 0), "it costs no attempt"
    assert request.fence > 1
