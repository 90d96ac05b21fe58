"""Requests that failed and are started again: whoever waits for that gets the new one."""

import asyncio
from typing import Any

import pytest
from streamer_client import (
    Cancelled,
    Chunk,
    Client,
    ClientClosed,
    Complete,
    Failed,
    InvalidRequest,
    Refused,
    Request,
)

from clients.python.tests.scripted_server import (
    Peer,
    acknowledgment,
    chunk,
    complete,
    connected,
    failed,
    refused,
    resumed,
    run,
    soon,
    until,
)

AGAIN = "r-1.redrive-1"


def again(status: str = "processing") -> dict[str, Any]:
    told = {"ref": "ref-2", "redriven_from": "ref-1", "request_id": AGAIN}
    return acknowledgment(status, **told)


async def failing(client: Client, peer: Peer) -> Request:
    """Give a request that has failed."""
    handle = client.submit("report")
    await peer.expect("report", acknowledgment(), chunk(1), failed("PROCESSING_FAILED", seq=2))
    with pytest.raises(Failed):
        await soon(handle.result())
    return handle


async def resumes(peer: Peer, wanted: dict[str, int], *answers: dict[str, Any]) -> None:
    message = await peer.expect("streamer.resume", *answers)
    assert message["payload"] == {"requests": wanted}


def test_it_is_followed_from_its_beginning() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = await failing(client, peer)
            waiting = [asyncio.create_task(handle.redriven()) for _ in range(2)]
            for _ in waiting:
                await resumes(peer, {handle.id: 2}, resumed(2, request_id=handle.id))
            await peer.send(again())
            replay = [chunk(1, "new", request_id=AGAIN), resumed(1, request_id=AGAIN)]
            await resumes(peer, {AGAIN: 0}, *replay)
            new, same = [await soon(one) for one in waiting]
            assert new is same
            assert (new.id, await handle.redriven()) == (AGAIN, new)
            await peer.send(complete(2, "at last", request_id=AGAIN))
            assert [one async for one in new] == [
                Chunk(seq=1, data="new"),
                Complete(seq=2, result="at last"),
            ]
            assert (await new, new.ref) == ("at last", "ref-2")

    run(work())


def test_who_comes_late_is_told_by_the_server() -> None:
    """Also of one sent by another process, whose ref is to be asked for."""

    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = client.follow("r-1")
            replay = [failed("PROCESSING_FAILED", seq=1), resumed(1)]
            told = [{**one, "request_id": "r-1"} for one in replay]
            await resumes(peer, {"r-1": 0}, *told, again("completed"))
            waiting = asyncio.create_task(handle.redriven())
            await peer.answer("streamer.status", {"ref": "ref-1", "status": "failed"})
            await resumes(peer, {"r-1": 1}, told[1], again("completed"))
            replay = [complete(1), resumed(1)]
            await resumes(peer, {AGAIN: 0}, *({**one, "request_id": AGAIN} for one in replay))
            assert await soon(await soon(waiting)) == "done"

    run(work())


def test_a_cut_does_not_end_the_waiting() -> None:
    async def work() -> None:
        async with connected() as (server, client, first):
            handle = await failing(client, first)
            waiting = asyncio.create_task(handle.redriven())
            await resumes(first, {handle.id: 2}, resumed(2, request_id=handle.id))
            await first.cut()
            peer = await server.accept(resumed(2, request_id=handle.id))
            assert peer.hello["resume"] == {handle.id: 2}
            await peer.send(again())
            await resumes(peer, {AGAIN: 0}, complete(1, request_id=AGAIN))
            assert await soon(await soon(waiting)) == "done"

    run(work())


@pytest.mark.parametrize("whole", [False, True], ids=["the request", "the message"])
def test_what_the_server_refuses_is_raised(whole: bool) -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = await failing(client, peer)
            waiting = asyncio.create_task(handle.redriven())
            name = {} if whole else {"request_id": handle.id}
            await peer.expect("streamer.resume", refused("NOT_FOUND", **name))
            with pytest.raises(Refused, match="NOT_FOUND"):
                await soon(waiting)
            once_more = asyncio.create_task(handle.redriven())
            await resumes(peer, {handle.id: 2})
            await client.close()
            with pytest.raises(ClientClosed):
                await soon(once_more)

    run(work())


def test_only_a_failed_one_is_waited_for() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            for end, error in (
                (complete(1), InvalidRequest),
                (failed("CANCELLED", seq=1), Cancelled),
                (refused("FORBIDDEN"), Refused),
            ):
                handle = client.submit("report")
                first = [] if end.get("refused") else [acknowledgment()]
                await peer.expect("report", *first, end)
                with pytest.raises(error):
                    await soon(handle.redriven())
            unstored = client.submit("add")
            await peer.expect("add", failed("PROCESSING_FAILED"))
            waiting = asyncio.create_task(unstored.redriven())
            await peer.expect("streamer.status", refused("NOT_FOUND"))
            with pytest.raises(Refused, match="NOT_FOUND"):
                await soon(waiting)

    run(work())


def test_whoever_does_not_wait_is_not_bothered() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = await failing(client, peer)
            waiting = asyncio.create_task(handle.redriven())
            await resumes(peer, {handle.id: 2})
            waiting.cancel()
            await until(waiting.done)
            await peer.send(again(), chunk(1, request_id=AGAIN))
            pinging = asyncio.create_task(client.ping())
            await peer.answer("streamer.ping")  # and no resume came before it
            await soon(pinging)

    run(work())
