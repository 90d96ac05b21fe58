"""Tenants' own tables in a deployment, in its account and in another."""

import asyncio

import pytest
from streamer_plugin_dynamodb.store import DynamoStore

from streamer_core.model.request import Status
from streamer_core.ports import SystemClock
from tests.e2e.aws.cloud import Cloud
from tests.e2e.aws.kit import chunks, joined, new_id, scenario
from tests.e2e.aws.tenant_tables import own_tables

pytestmark = pytest.mark.timeout(400)


@scenario
async def test_its_stream_wakes_the_workers(cloud: Cloud) -> None:
    """Nobody sweeps here: a worker comes by the stream or not at all."""
    theirs = DynamoStore(own_tables(cloud, "globex"), SystemClock())
    async with joined(cloud, "globex.gus") as wire:
        name = await wire.send("count", {"steps": 3}, id=new_id())
        ref = (await wire.answer(name))["ref"]
        assert (await wire.end(name))["result"] == {"steps": 3}
        assert chunks(wire, name) == [0, 1, 2]
    stored = theirs.get(ref)
    assert stored is not None
    assert (stored.status, stored.tenant) == (Status.COMPLETED, "globex")
    assert cloud.store.get(ref) is None


@scenario
async def test_who_comes_back_gets_the_rest_from_there(cloud: Cloud) -> None:
    async with joined(cloud, "globex.gus") as wire:
        name = await wire.send("count", {"steps": 3, "pause_s": 0.2}, id=new_id())
        await wire.answer(name)
    async with joined(cloud, "globex.gus") as back:
        await back.send("streamer.resume", {"requests": {name: 0}})
        assert (await back.end(name))["result"] == {"steps": 3}
    async with joined(cloud, "acme.ann") as other:
        answer = await other.ask("streamer.cancel", {"request_id": name})
        assert answer["error"]["code"] == "NOT_FOUND"


@scenario
async def test_another_account_keeps_what_is_its_tenants(cloud: Cloud) -> None:
    async with joined(cloud, "overseas.olga") as wire:
        name = await wire.send("count", {"steps": 3}, id=new_id())
        ref = (await wire.answer(name))["ref"]
        assert cloud.store.get(ref) is None
        await asyncio.to_thread(cloud.invoke, "sweeper", {})
        assert (await wire.end(name))["result"] == {"steps": 3}
        assert chunks(wire, name) == [0, 1, 2]
    async with joined(cloud, "overseas.olga") as back:
        await back.send("streamer.resume", {"requests": {name: 0}})
        assert (await back.end(name))["result"] == {"steps": 3}
