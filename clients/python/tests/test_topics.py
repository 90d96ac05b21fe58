"""Subscriptions to topics."""

import asyncio
from typing import Any

import pytest
from streamer_client import Client, ConnectionLost, Event, Refused, Settings
from streamer_client.topics import Topic

from clients.python.tests.scripted_server import (
    connected,
    refused,
    run,
    scripted,
    soon,
    until,
)


def event(data: Any, topic: str = "room:1") -> dict[str, Any]:
    return {"type": "event", "topic": topic, "data": data}


def test_two_readers_share_one_subscription() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            first, second = client.subscribe("room:1"), client.subscribe("room:1")
            asked = await peer.answer("streamer.subscribe")
            assert asked["payload"] == {"topic": "room:1"}
            assert await soon(first.__aenter__()) is first
            await soon(second.__aenter__())
            await peer.send(event(1), event(2, "of others"), event(3))
            seen = [(await soon(anext(one))).data for one in (first, second, first, second)]
            assert seen == [1, 1, 3, 3]
            await first.unsubscribe()
            assert [one async for one in first] == []
            await first.unsubscribe()
            leaving = asyncio.create_task(second.__aexit__(None, None, None))
            asked = await peer.answer("streamer.unsubscribe")
            assert asked["payload"] == {"topic": "room:1"}
            await soon(leaving)
            assert "room:1" in repr(first)

    run(work())


def test_a_refusal_is_raised_where_the_reader_waits() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            events = client.subscribe("secret")
            await peer.expect("streamer.subscribe", refused("FORBIDDEN"))
            with pytest.raises(Refused, match="FORBIDDEN"):
                await soon(anext(events))
            with pytest.raises(Refused):
                await events
            again = client.subscribe("secret")
            await peer.answer("streamer.subscribe")
            await soon(again.__aenter__())

    run(work())


def test_subscriptions_are_renewed_after_a_cut() -> None:
    async def work() -> None:
        async with connected() as (server, client, peer):
            granted, asking = client.subscribe("room:1"), client.subscribe("room:2")
            await peer.answer("streamer.subscribe")
            await soon(granted.__aenter__())
            await peer.recv()
            await peer.cut()
            back = await server.accept()
            asked = [await back.answer("streamer.subscribe") for _ in range(2)]
            assert {one["payload"]["topic"] for one in asked} == {"room:1", "room:2"}
            await soon(asking.__aenter__())
            await back.send(event(1))
            assert (await soon(anext(granted))).data == 1

            await back.cut()
            third = await server.accept()
            for _ in range(2):
                await third.expect("streamer.subscribe", refused("FORBIDDEN"))
            with pytest.raises(Refused):
                await soon(anext(granted))

    run(work())


def test_unread_events_are_bounded_and_counted() -> None:
    async def work() -> None:
        async with connected(buffer_limit=2) as (_, client, peer):
            events = client.subscribe("room:1")
            await peer.answer("streamer.subscribe")
            await peer.send(*(event(n) for n in range(5)))
            await until(lambda: events.dropped == 3)
            assert [(await anext(events)).data for _ in range(2)] == [3, 4]
            await client.close()
            assert [one async for one in events] == []

    run(work())


def test_offline_a_topic_can_be_left_without_waiting() -> None:
    async def work() -> None:
        async with scripted() as server:
            settings = Settings(start_offline=True)
            server.refuse = [(503, {"Retry-After": "60"})]
            async with Client(server.url, settings=settings) as client:
                async with asyncio.timeout(5):
                    await client.subscribe("room:1").unsubscribe()
                assert not client._session.topics._topics

    run(work())


def test_a_topic_can_be_left_while_the_link_breaks() -> None:
    async def work() -> None:
        async with connected(reply_timeout=0.05) as (_, client, peer):
            events = client.subscribe("room:1")
            await peer.answer("streamer.subscribe")
            await soon(events.__aenter__())
            await events.unsubscribe()
            assert (await peer.recv())["action"] == "streamer.unsubscribe"

    run(work())


def test_the_second_copy_of_an_event_is_known_by_its_connection() -> None:
    topic, old, new = Topic("t"), object(), object()
    tick = Event(topic="t", data="tick")
    seen = [
        topic.doubled(tick, source, now, overlap=overlap)
        for source, now, overlap in [
            (old, 0.0, True),
            (old, 0.1, True),
            (new, 0.2, True),
            (new, 0.3, False),
            (new, 0.4, False),
            (old, 1.0, True),
            (new, 9.0, False),
        ]
    ]
    assert seen == [False, False, True, True, False, False, False]


def test_giving_up_ends_the_iteration_with_the_reason() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            events = client.subscribe("room:1")
            await peer.answer("streamer.subscribe")
            client._session.fail(ConnectionLost("over"))
            with pytest.raises(ConnectionLost, match="over"):
                await soon(anext(events))

    run(work())
