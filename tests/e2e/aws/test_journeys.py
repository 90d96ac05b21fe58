"""Each journey of a request, on Lambda functions behind a real WebSocket."""

import asyncio
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from streamer_core import Settings, Streamer
from streamer_core.model.request import Status
from streamer_core.testing import MemoryTransport
from tests.e2e.aws.cloud import Cloud
from tests.e2e.aws.kit import chunks, joined, new_id, scenario
from tests.e2e.kit.bounds import eventually, soon
from tests.e2e.kit.wire import Wire, wired
from tests.e2e.quickstart.sales import totals, write

pytestmark = pytest.mark.timeout(400)


def decimals(texts: dict[str, str]) -> dict[str, Decimal]:
    return {name: Decimal(text) for name, text in texts.items()}


@scenario
async def test_without_a_token_nobody_comes_in(cloud: Cloud) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}):
        with pytest.raises(InvalidStatus) as refused:
            async with wired(cloud.url, additional_headers=headers):
                pass
        # API Gateway answers 401; this emulator answers 403 to whatever is not let in.
        assert refused.value.response.status_code in {401, 403}


@scenario
async def test_a_token_may_come_as_a_subprotocol(cloud: Cloud) -> None:
    async with wired(cloud.url, subprotocols=["streamer.v1", "bearer.acme.ann"]) as wire:
        assert (await wire.ask("echo", {"x": 1}))["data"] == {"x": 1}


@scenario
async def test_short_work_is_answered_at_once(cloud: Cloud) -> None:
    async with joined(cloud) as wire:
        answer = await wire.ask("echo", {"text": "ä🦆"})
        assert (answer["type"], answer["data"]) == ("response", {"text": "ä🦆"})
        refused = await wire.ask("nothing")
        assert refused["error"]["code"] == "INVALID_ACTION"


@scenario
async def test_long_work_reports_and_ends(cloud: Cloud) -> None:
    async with joined(cloud) as wire:
        name = await wire.send("count", {"steps": 4}, id=new_id())
        assert (await wire.answer(name))["type"] == "acknowledgment"
        end = await wire.end(name)
        assert (end["type"], end["result"], end["seq"]) == ("complete", {"steps": 4}, 5)
        assert sorted(chunks(wire, name)) == [0, 1, 2, 3]
        assert any(one["type"] == "progress" for one in wire.by_request[name])


@scenario
async def test_the_quickstart_runs_as_it_is(cloud: Cloud, tmp_path: Path) -> None:
    """Its handlers, with its settings; the functions are processes here, and see its file."""
    file = tmp_path / "sales.csv"
    write(file, rows=60_000)
    async with joined(cloud) as wire:
        assert (await wire.ask("hello", {"name": "you"}))["data"] == {"greeting": "Hello, you"}
        name = await wire.send("sales_report", {"file": str(file)}, id=new_id())
        assert (await wire.answer(name))["type"] == "acknowledgment"
        end = await wire.end(name)
        assert end["result"]["rows"] == 60_000
        assert decimals(end["result"]["totals"]) == decimals(totals(file))
        assert sum(one["type"] == "chunk" for one in wire.by_request[name]) > 1


@scenario
async def test_a_repeat_is_the_same_request(cloud: Cloud) -> None:
    async with joined(cloud) as wire:
        name = await wire.send("count", {"steps": 2}, id=new_id())
        await wire.end(name)
    async with joined(cloud) as wire:
        await wire.send("count", {"steps": 2}, id=name)
        answer = await wire.answer(name)
        assert (answer["type"], answer["status"]) == ("acknowledgment", "completed")
        assert (await wire.end(name))["result"] == {"steps": 2}


@scenario
async def test_who_comes_back_gets_the_rest(cloud: Cloud) -> None:
    async with joined(cloud) as wire:
        name = await wire.send("count", {"steps": 5, "pause_s": 0.5}, id=new_id())
        await wire.answer(name)
    async with joined(cloud) as wire:
        await wire.send("streamer.resume", {"requests": {name: 0}})
        end = await wire.end(name)
        assert end["result"] == {"steps": 5}
        assert sorted(set(chunks(wire, name))) == [0, 1, 2, 3, 4]


@scenario
async def test_a_cancel_stops_what_runs_and_what_waits(cloud: Cloud) -> None:
    async with joined(cloud) as wire:
        runs = await wire.send("count", {"steps": 200, "pause_s": 0.2}, id=new_id())
        waits = await wire.send("count", {}, id=new_id(), options={"delay_ms": 600_000})
        for name in (runs, waits):
            await wire.answer(name)
            await wire.ask("streamer.cancel", {"request_id": name})
            end = await wire.end(name)
            assert end["error"]["code"] == "CANCELLED"


@scenario
async def test_a_failed_attempt_goes_on_from_its_checkpoint(cloud: Cloud) -> None:
    async with joined(cloud) as wire:
        name = await wire.send("count", {"steps": 4, "fail_before": 3}, id=new_id())
        end = await wire.end(name, bound_s=60)
        assert (end["result"], end["attempt"]) == ({"steps": 4}, 3)
        assert sorted(chunks(wire, name)) == [0, 1, 2, 3]


@scenario
async def test_what_fails_for_good_can_be_driven_again_and_its_client_is_told(
    cloud: Cloud,
) -> None:
    operator = Streamer(
        Settings.of({"transport": "none"}),
        store=cloud.store,
        transport=MemoryTransport(),
        found=[],
        load_handlers=False,
    )
    async with joined(cloud) as wire:
        name = await wire.send("reject", id=new_id())
        ref = (await wire.answer(name))["ref"]
        end = await wire.end(name)
        assert end["error"]["code"] == "jobs.never"
        again = await asyncio.to_thread(operator.redrive, ref)
        end = await wire.end(again.id)
        assert end["error"]["code"] == "jobs.never"
        told = wire.by_request[again.id][0]
        assert (told["type"], told["redriven_from"]) == ("acknowledgment", ref)
        assert told["ref"] == again.ref
    kept = await asyncio.to_thread(cloud.store.get, again.ref)
    assert kept is not None
    assert kept.status is Status.FAILED


@scenario
async def test_delayed_work_starts_when_it_is_due(cloud: Cloud) -> None:
    async with joined(cloud) as wire:
        name = await wire.send("count", {"steps": 1}, id=new_id(), options={"delay_ms": 3_000})
        ref = (await wire.answer(name))["ref"]
        await wire.end(name)
    kept = cloud.store.get(ref)
    assert kept is not None
    assert kept.started_at is not None
    assert 3_000 <= kept.started_at - kept.created_at < 15_000


@scenario
async def test_a_topic_reaches_all_who_joined(cloud: Cloud) -> None:
    room = f"room:{new_id()}"
    async with joined(cloud) as one, joined(cloud, "acme.bob") as two, joined(cloud) as other:
        for wire in (one, two):
            assert (await wire.ask("streamer.subscribe", {"topic": room}))["success"]
            await other.ask("say", {"topic": room, "data": {"text": "hi"}})
            # To the first alone by whoever publishes; to both by the notifier.
            await soon(partial(_events, wire, room), "what was said in the room")
        await soon(lambda: len(_events(one, room)) == 2, "the second event")
        assert not other.seen(lambda message: message["type"] == "event")


def _events(wire: Wire, room: str) -> list[Any]:
    return wire.seen(lambda message: message.get("topic") == room)


@scenario
async def test_the_sweeper_rescues_the_request_of_a_worker_that_died(cloud: Cloud) -> None:
    async with joined(cloud) as wire:
        name = await wire.send("count", {"steps": 4, "die_before": 2}, id=new_id())
        ref = (await wire.answer(name))["ref"]
        await asyncio.to_thread(
            eventually, lambda: _lapsed(cloud, ref), "the dead worker's lease lapses"
        )
        await asyncio.to_thread(cloud.invoke, "sweeper", {})
        end = await wire.end(name, bound_s=60)
        assert (end["result"], end["attempt"]) == ({"steps": 4}, 2)


def _lapsed(cloud: Cloud, ref: str) -> bool:
    return any(request.ref == ref for request in cloud.store.lapsed())


@scenario
async def test_its_operators_see_what_is_checked(cloud: Cloud) -> None:
    async with joined(cloud) as wire:
        assert (await wire.ask("streamer.health"))["data"].keys() == {"status"}
    async with joined(cloud, "acme.ann.streamer:operator") as wire:
        told = (await wire.ask("streamer.health"))["data"]["checks"]
        checks = {one["name"]: one for one in told}
        own = {"circuits", "dead letters", "jwt", "limits", "metrics"}
        assert checks.keys() == {"store", *own}
        assert checks["store"]["status"] == "ok"
        assert "cannot be read" not in checks["circuits"]["detail"], "another test may open one"


@scenario
async def test_another_tenants_requests_are_not_there(cloud: Cloud) -> None:
    async with joined(cloud) as wire:
        name = await wire.send("count", {"steps": 1}, id=new_id())
        ref = (await wire.answer(name))["ref"]
    async with joined(cloud, "other.ann") as wire:
        answer = await wire.ask("streamer.status", {"ref": ref})
        assert answer["error"]["code"] == "NOT_FOUND"
