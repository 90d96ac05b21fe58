"""Requests of both kinds, from the caller's side."""

import asyncio
import gc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from streamer_client import (
    Cancelled,
    Chunk,
    Client,
    ClientClosed,
    Complete,
    ConnectionLost,
    Failed,
    Gap,
    GatewayError,
    InvalidRequest,
    Progress,
    Refused,
    RequestSpec,
    Restart,
    TimedOut,
    WaitTimeout,
)

from clients.python.tests.scripted_server import (
    acknowledgment,
    chunk,
    complete,
    connected,
    failed,
    progress,
    refused,
    response,
    restart,
    resumed,
    run,
    scripted,
    soon,
    until,
)


def test_an_answer_at_once_and_a_stored_one_look_alike() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            at_once = asyncio.create_task(client.request("add", {"a": 1}, id="r-1"))
            message = await peer.answer("add", {"sum": 1})
            assert message == {"id": "r-1", "action": "add", "payload": {"a": 1}}
            assert await soon(at_once) == {"sum": 1}

            stored = asyncio.create_task(client.request("report"))
            await peer.expect("report", acknowledgment(), complete(1, {"url": "u"}))
            assert await soon(stored) == {"url": "u"}

    run(work())


def test_callbacks_are_called_in_order_and_awaited() -> None:
    async def work() -> None:
        seen: list[object] = []

        async def on_chunk(one: Chunk) -> None:
            await asyncio.sleep(0)
            seen.append(one.data)

        def on_progress(one: Progress) -> None:
            seen.append(one.percentage)

        async with connected() as (_, client, peer):
            asking = asyncio.create_task(
                client.request(
                    "report",
                    on_chunk=on_chunk,
                    on_progress=on_progress,
                    on_restart=lambda one: seen.append(one.keep_through_seq),
                )
            )
            await peer.expect(
                "report",
                progress(10, 1),  # may overtake the acknowledgment
                acknowledgment(),
                chunk(1),
                chunk(1),
                chunk(3, "again"),
                restart(2, 0),
                progress(5, 1),  # older than what is there
                complete(4),
                progress(99, 9),
            )
            assert await soon(asking) == "done"
        assert seen == [10.0, "c1", 0, "again"]

    run(work())


def test_what_a_callback_raises_reaches_the_caller() -> None:
    async def work() -> None:
        def on_chunk(_: Chunk) -> None:
            raise TimeoutError("mine")

        async with connected() as (_, client, peer):
            asking = asyncio.create_task(client.request("report", on_chunk=on_chunk, timeout=9))
            await peer.expect("report", acknowledgment(), chunk(1))
            with pytest.raises(TimeoutError, match="mine") as caught:
                await soon(asking)
            assert not isinstance(caught.value, WaitTimeout)

    run(work())


def test_iterating_yields_updates_and_ends_with_the_result() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = client.submit("report")
            await peer.expect("report", acknowledgment(), chunk(1), complete(2, 7))
            seen = [update async for update in handle]
            assert seen == [Chunk(seq=1, data="c1"), Complete(seq=2, result=7)]
            assert await handle == 7
            assert handle.done
            assert handle.ref == "ref-1"
            assert handle.last_seq == 2
            said = await handle.acknowledged()
            assert said is not None
            assert said.status == "queued"
            assert await handle.cancel() is None
            assert "done" in repr(handle)

    run(work())


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (failed("PROCESSING_FAILED", seq=1), Failed),
        (failed("CANCELLED", seq=1), Cancelled),
        (failed("TIMEOUT"), TimedOut),
        (failed("billing.card_declined"), Failed),
        (refused("VALIDATION_ERROR"), Refused),
        ({"type": "error", "error": "odd"}, Refused),
    ],
)
def test_errors_are_typed(answer: dict[str, Any], kind: type[Exception]) -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = client.submit("report", id="r-1")
            await peer.expect("report", answer)
            with pytest.raises(kind) as caught:
                async for _update in handle:
                    pass
            with pytest.raises(kind):
                await handle
            assert isinstance(caught.value, Failed | Refused)
            assert caught.value.request_id == "r-1"

    run(work())


def test_an_end_that_comes_again_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = client.submit("report", id="r-1")
            await peer.expect("report", failed("PROCESSING_FAILED", seq=1))
            with pytest.raises(Failed):
                await handle
            await peer.send({**failed("PROCESSING_FAILED", seq=1), "request_id": "r-1"})
            asking = asyncio.create_task(client.request("report"))
            await peer.expect("report", response(1))
            await soon(asking)

    run(work())
    assert not caplog.records


def test_a_refusal_is_tried_again_when_asked() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            asking = asyncio.create_task(client.request("report", retries=1))
            busy = refused("RATE_LIMITED", retry={"retryable": True, "after_ms": 5})
            first = await peer.expect("report", busy)
            assert await peer.expect("report", busy) == first
            with pytest.raises(Refused) as caught:
                await soon(asking)
            assert (caught.value.retryable, caught.value.retry_after_ms) == (True, 5)

    run(work())


def test_a_timeout_ends_the_waiting_and_withdraws_what_is_unsent() -> None:
    async def work() -> None:
        async with scripted() as server:
            client = Client(server.url)
            server_accepts = asyncio.create_task(server.accept())
            async with client:
                peer = await soon(server_accepts)
                await peer.send({"type": "goodbye", "reconnect_after_ms": 60_000})
                session = client._session
                await until(lambda: not session._sending.is_set())
                with pytest.raises(WaitTimeout) as caught:
                    await client.request("report", id="r-1", timeout=0.01)
                assert caught.value.request_id == "r-1"
                assert len(session._outbox) == 0

                handle = client.submit("report", id="r-1")
                with pytest.raises(InvalidRequest, match="under way"):
                    client.submit("report", id="r-1")
                with pytest.raises(InvalidRequest, match="under way"):
                    client.follow("r-1")
                await client.cancel("r-1")
                with pytest.raises(Cancelled):
                    await handle
                with pytest.raises(Cancelled):
                    await handle.acknowledged()

    run(work())


def test_a_reader_that_is_slow_loses_nothing() -> None:
    async def work() -> None:
        async with connected(buffer_limit=4) as (_, client, peer):
            handle = client.submit("report")
            await peer.expect("report", acknowledgment(), *(chunk(n) for n in range(1, 9)))
            await until(lambda: handle.held_back)
            seen = [await anext(handle) for _ in range(2)]
            asked = await peer.recv()
            assert asked["payload"] == {"requests": {handle.id: 4}}
            name: dict[str, Any] = {"request_id": handle.id}
            replay = [chunk(n, **name) for n in range(5, 9)]
            await peer.send(*replay, complete(9, **name), resumed(9, **name))
            await until(lambda: handle.held_back)
            seen += [await anext(handle) for _ in range(2)]
            asked = await peer.recv()
            assert asked["payload"] == {"requests": {handle.id: 6}}
            await peer.send(chunk(7, **name), chunk(8, **name), complete(9, **name))
            await until(lambda: handle.held_back)
            seen += [await anext(handle) for _ in range(2)]
            await peer.expect("streamer.resume")
            await peer.send(complete(9, **name))
            seen += [update async for update in handle]
            numbers = [update.seq for update in seen if isinstance(update, Chunk | Complete)]
            assert numbers == list(range(1, 10))

    run(work())


def test_awaiting_the_result_goes_past_the_unread() -> None:
    async def work() -> None:
        async with connected(buffer_limit=4) as (_, client, peer):
            handle = client.submit("report")
            await peer.expect("report", acknowledgment(), *(chunk(n) for n in range(1, 9)))
            await until(lambda: handle.held_back)
            result = asyncio.create_task(handle.result())
            asked = await peer.recv()
            assert asked["payload"] == {"requests": {handle.id: 4}}
            name: dict[str, Any] = {"request_id": handle.id}
            rest = [chunk(n, **name) for n in range(5, 20)]
            await peer.send(*rest, progress(1, 1, **name), restart(20, 0, **name))
            await peer.send(complete(21, **name))
            assert await soon(result) == "done"
            seen = [update async for update in handle]
            assert isinstance(seen[0], Gap)
            assert (seen[0].missing_from, seen[0].reason) == (1, "unread")
            chunks = [update.seq for update in seen if isinstance(update, Chunk)]
            assert chunks == list(range(seen[0].missing_through + 1, 20)) or not chunks
            assert isinstance(seen[-1], Complete)

    run(work())


def test_unread_progress_is_replaced_by_newer() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = client.submit("report")
            snapshots = [progress(n, n) for n in range(1, 5)]
            await peer.expect("report", acknowledgment(), *snapshots, complete(1))
            await soon(handle.result())
            seen = [update async for update in handle]
            assert [type(update) for update in seen] == [Progress, Complete]
            assert handle.progress is not None
            assert handle.progress.percentage == 4

    run(work())


def test_cancel_and_status_wait_until_the_server_has_the_request() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = client.submit("report", id="r-1")
            cancelling = asyncio.create_task(handle.cancel())
            await peer.expect("report", acknowledgment())
            asked = await peer.expect("streamer.resume")  # a named request may be a repeat
            assert asked["payload"] == {"requests": {"r-1": 0}}
            cancel = await peer.answer("streamer.cancel", {"status": "cancelled"})
            assert cancel["payload"] == {"request_id": "r-1"}
            assert await soon(cancelling) == {"status": "cancelled"}
            asking = asyncio.create_task(handle.status())
            await peer.answer("streamer.status", {"status": "cancelled"})
            assert await soon(asking) == {"status": "cancelled"}
            await peer.send(failed("CANCELLED", seq=1, request_id="r-1"))
            with pytest.raises(Cancelled):
                await soon(handle.result())

    run(work())


def test_a_gateway_error_is_the_only_waiting_request_s() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            own = {"message": "Internal server error", "connectionId": "c", "requestId": "q"}
            handles = [client.submit("a"), client.submit("b")]
            await peer.recv()
            await peer.recv()
            await peer.send(own)
            await peer.send(response(1, request_id=handles[0].id))
            assert await soon(handles[0].result()) == 1
            assert not handles[1].done
            await peer.send({"message": "not of API Gateway"}, own)
            with pytest.raises(GatewayError, match="Internal server error"):
                await soon(handles[1].result())
            asking = asyncio.create_task(client.ping())
            await peer.recv()
            await peer.send(own)
            with pytest.raises(GatewayError):
                await soon(asking)

    run(work())


def test_what_is_unknown_or_malformed_is_ignored() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = client.submit("report")
            await peer.expect(
                "report",
                {"type": "sparkle"},
                {"type": "chunk"},
                chunk(0),
                {"type": "progress", "percentage": "much"},
                {"type": "resumed"},
                {"type": "chunk", "seq": 1, "request_id": "of nobody"},
                {"type": "error", "request_id": None},
                refused("NOT_FOUND", request_id="of nobody"),
                acknowledgment(sparkle=True),
            )
            await peer.websocket.send("not JSON")
            await peer.websocket.send("[1]")
            await peer.send(complete(1, request_id=handle.id, sparkle=True))
            assert await soon(handle.result()) == "done"

    run(work())


def test_the_builder_says_all_options() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            template = client.build("report").payload({"a": 1}, b=2).priority("high")
            handle = (
                template.delay(timedelta(seconds=1.5))
                .mode("async")
                .id("r-1")
                .metadata(x="1")
                .metadata({"x-y": "2"})
                .resend(False)
                .retries(1)
                .send()
            )
            assert "report" in repr(template)
            message = await peer.recv()
            assert message == {
                "id": "r-1",
                "action": "report",
                "payload": {"a": 1, "b": 2},
                "metadata": {"x": "1", "x-y": "2"},
                "options": {"priority": "high", "delay_ms": 1500, "mode": "async"},
            }
            assert (handle.resends, handle.retries) == (False, 1)
            template.send()
            assert (await peer.recv())["options"] == {"priority": "high"}

    run(work())


@pytest.mark.parametrize(
    "fields",
    [
        {"action": ""},
        {"action": "no spaces"},
        {"action": "streamer.ping"},
        {"action": "a", "id": "two words"},
        {"action": "a", "id": "x" * 129},
        {"action": "a", "delay": -1},
        {"action": "a", "payload": [1]},
        {"action": "a", "metadata": {"n": 1}},
        {"action": "a", "metadata": ["n"]},
    ],
)
def test_a_request_that_breaks_a_rule_is_not_made(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        RequestSpec(**fields)


def test_resending_follows_the_mode_unless_it_is_said() -> None:
    assert RequestSpec(action="a").resends
    assert RequestSpec(action="a", mode="async").resends
    assert not RequestSpec(action="a", mode="sync").resends
    assert RequestSpec(action="a", mode="sync", resend=True).resends


def test_framework_actions() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):

            async def ask(work: Any, action: str, data: Any) -> tuple[Any, Any]:
                asking = asyncio.ensure_future(work)
                message = await peer.answer(action, data)
                return await soon(asking), message.get("payload")

            record = {"request_id": "r-1"}
            assert await ask(client.status("r-1"), "streamer.status", record) == (record, record)
            _, sent = await ask(client.status(ref="x"), "streamer.status", {})
            assert sent == {"ref": "x"}
            _, sent = await ask(client.cancel("r-1"), "streamer.cancel", {})
            assert sent == record
            found, sent = await ask(client.actions(), "streamer.actions", {"actions": [{"a": 1}]})
            assert (found, sent) == (({"a": 1},), {})
            found, sent = await ask(client.actions("b"), "streamer.actions", {"actions": []})
            assert (found, sent) == ((), {"action": "b"})
            asking = asyncio.create_task(client.ping())
            await peer.expect("streamer.ping", {"type": "pong"})
            assert await soon(asking) >= 0
            asking_refused = asyncio.create_task(client.status("r-2"))
            await peer.expect("streamer.status", refused("NOT_FOUND"))
            with pytest.raises(Refused, match="NOT_FOUND"):
                await soon(asking_refused)
            with pytest.raises(InvalidRequest):
                await client.call("report")
            with pytest.raises(InvalidRequest):
                await client.status()
            with pytest.raises(InvalidRequest):
                client.follow("r", last_seq=-1)

    run(work())


def test_listing_goes_over_pages_up_to_the_limit() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):

            async def collect(limit: int | None) -> list[str]:
                since = datetime(2026, 1, 1, tzinfo=UTC)
                found = client.list(status="failed", action="a", since=since, limit=limit)
                return [record["request_id"] async for record in found]

            collecting = asyncio.create_task(collect(3))
            two = {"requests": [{"request_id": "1"}, {"request_id": "2"}], "cursor": "c"}
            asked = await peer.answer("streamer.list", two)
            assert asked["payload"] == {
                "status": "failed",
                "action": "a",
                "since": 1767225600000,
                "limit": 3,
            }
            asked = await peer.answer("streamer.list", two)
            assert (asked["payload"]["cursor"], asked["payload"]["limit"]) == ("c", 1)
            assert await soon(collecting) == ["1", "2", "1"]

            collecting = asyncio.create_task(collect(None))
            await peer.answer("streamer.list", {"requests": [], "cursor": None})
            assert await soon(collecting) == []

    run(work())


def test_a_client_that_is_not_open_says_so() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = client.submit("report")
            await peer.recv()
            waiting = asyncio.create_task(client.status("r-1"))
            await peer.recv()
            assert client.connected
            with pytest.raises(ClientClosed):
                await client.connect()
            await client.close()
            await client.close()
            assert await peer.closed() == 1000
            for closed in (handle.result(), waiting, client.request("a")):
                with pytest.raises(ClientClosed):
                    await closed
        outside = Client("ws://127.0.0.1:1/")
        assert not outside.connected
        await outside.close()
        with pytest.raises(ClientClosed):
            outside.submit("a")

    run(work())


def test_a_detached_request_is_followed_no_more() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = client.submit("report")
            await peer.expect("report", acknowledgment())
            handle.detach()
            with pytest.raises(ConnectionLost, match="no longer followed"):
                await handle
            del handle
            gc.collect()
            assert not client._session.requests._open

    run(work())


def test_a_restart_is_told_to_the_reader() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = client.submit("report")
            await peer.expect("report", chunk(1), restart(2, 1), complete(3))
            seen = [update async for update in handle]
            assert seen[1] == Restart(seq=2, keep_through_seq=1, attempt=2)

    run(work())
