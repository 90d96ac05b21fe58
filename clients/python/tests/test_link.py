"""Cuts, refusals and hand-overs: what goes on underneath the requests."""

import asyncio
import json
import logging
from typing import Any

import pytest
from streamer_client import (
    Backoff,
    Chunk,
    Client,
    ConnectionLost,
    Gap,
    GatewayError,
    HandshakeRefused,
    InvalidRequest,
    MessageTooLarge,
    OutboxFull,
    ProtocolError,
    Refused,
    Settings,
    Timing,
    Unauthorized,
    WaitTimeout,
)
from streamer_client.handshake import retry_after
from streamer_client.wire import FRAME_LIMIT, MESSAGE_LIMIT, decode, fragments

from clients.python.tests.scripted_server import (
    FAST,
    acknowledgment,
    chunk,
    complete,
    connected,
    progress,
    refused,
    response,
    resumed,
    run,
    scripted,
    soon,
    until,
)


class Patience(Timing):
    """Sleeps when told to, and remembers for how long."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return 1_700_000_000.0

    def random(self) -> float:
        return 1.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if seconds > 200:  # a heartbeat or a hand-over, which no test waits for
            await asyncio.Event().wait()
        self.at += seconds
        await asyncio.sleep(0)


def test_a_request_goes_on_after_a_cut() -> None:
    async def work() -> None:
        async with connected() as (server, client, peer):
            handle = client.submit("report")
            await peer.expect("report", acknowledgment(), chunk(1), chunk(2))
            seen = [await anext(handle), await anext(handle)]
            await peer.cut()
            name: dict[str, Any] = {"request_id": handle.id}
            replay = [chunk(2, **name), chunk(3, **name), complete(4, **name)]
            back = await server.accept(*replay, resumed(4, **name))
            assert back.hello == {"version": 1, "resume": {handle.id: 2}}
            seen += [update async for update in handle]
            assert [update.seq for update in seen if isinstance(update, Chunk)] == [1, 2, 3]
            assert await handle == "done"

    run(work())


def test_a_gap_that_stays_is_asked_for() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = client.submit("report")
            await peer.expect("report", acknowledgment(), chunk(2), complete(3))
            for _ in range(2):  # asked again until it comes
                asked = await peer.expect("streamer.resume")
                assert asked["payload"] == {"requests": {handle.id: 0}}
            await peer.send(chunk(1, request_id=handle.id))
            assert await soon(handle.result()) == "done"

    run(work())


def test_pages_are_asked_for_until_there_is_no_more() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = client.follow("r-1")
            name: dict[str, Any] = {"request_id": "r-1"}
            page = [chunk(1, **name), chunk(2, **name), resumed(2, more=True, **name)]
            asked = await peer.expect("streamer.resume", *page)
            assert asked["payload"] == {"requests": {"r-1": 0}}
            asked = await peer.expect("streamer.resume", resumed(2, more=True, **name))
            assert asked["payload"] == {"requests": {"r-1": 2}}
            # A page that brought nothing is not asked for again at once, but it is.
            await peer.expect("streamer.resume", complete(3, **name), resumed(3, **name))
            assert await soon(handle.result()) == "done"
            assert handle.recovered

    run(work())


def test_what_has_expired_is_a_gap() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = client.follow("r-1", last_seq=1)
            name: dict[str, Any] = {"request_id": "r-1"}
            replay = [chunk(5, **name), complete(6, **name)]
            await peer.expect("streamer.resume", *replay, resumed(6, recovered=False, **name))
            seen = [update async for update in handle]
            assert seen[0] == Gap(missing_from=2, missing_through=4, reason="expired")
            assert not handle.recovered

    run(work())


@pytest.mark.parametrize(
    ("record", "error"),
    [
        ({"status": "completed", "result": "late"}, None),
        ({"status": "failed", "error": {"code": "INTERNAL_ERROR"}}, "INTERNAL_ERROR"),
        ({"status": "processing"}, "no longer followed"),
    ],
)
def test_a_follower_to_whom_nothing_is_sent_looks_at_the_record(
    record: dict[str, Any], error: str | None
) -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = client.follow("r-1", last_seq=7)
            await peer.expect("streamer.resume", resumed(7, request_id="r-1"))
            await peer.answer("streamer.status", record)
            if record["status"] == "processing":
                handle.detach()
            if error is None:
                assert await soon(handle.result()) == "late"
            else:
                with pytest.raises(Exception, match=error):
                    await soon(handle.result())

    run(work())


def test_a_request_that_is_not_kept_is_refused() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            handle = client.follow("r-1")
            busy = refused("RATE_LIMITED", retry={"retryable": True, "after_ms": 1})
            await peer.expect("streamer.resume", busy)  # the message itself is refused
            await peer.expect("streamer.resume", {**busy, "request_id": "r-1"})
            await peer.expect("streamer.resume", refused("NOT_FOUND", request_id="r-1"))
            with pytest.raises(Refused, match="NOT_FOUND"):
                await soon(handle.result())
            other = client.follow("r-2")
            await peer.expect("streamer.resume", refused("FORBIDDEN"))
            with pytest.raises(Refused, match="FORBIDDEN"):
                await soon(other.result())

    run(work())


def test_unanswered_requests_are_looked_for_before_they_are_sent_again() -> None:
    async def work() -> None:
        async with connected() as (server, client, peer):
            stored, never = client.submit("a"), client.submit("b")
            once = client.submit("c", mode="sync")
            status = asyncio.create_task(client.status("x"))
            sent = [await peer.recv() for _ in range(4)]
            await peer.send(chunk(1, request_id=never.id))
            await until(lambda: never.last_seq == 1)
            await peer.cut()
            back = await server.accept(
                complete(1, request_id=stored.id),
                resumed(1, request_id=stored.id),
                refused("NOT_FOUND", request_id=never.id),
                refused("NOT_FOUND", request_id=once.id),
            )
            assert back.hello["resume"] == {stored.id: 0, never.id: 1, once.id: 0}
            assert await soon(stored.result()) == "done"
            with pytest.raises(ConnectionLost, match="may have run"):
                await soon(once.result())
            again = [await back.recv(), await back.recv()]
            assert sorted(again, key=lambda one: str(one["id"])) == sorted(
                [sent[1], sent[3]], key=lambda one: str(one["id"])
            )
            await back.send(
                acknowledgment(request_id=never.id), response({}, request_id=sent[3]["id"])
            )
            assert await soon(status) == {}
            # Sent twice, it may be a repeat: its updates may go to the connection that is gone.
            await back.expect("streamer.resume", chunk(1, "new", request_id=never.id))
            await back.send(complete(2, request_id=never.id))
            seen = [update async for update in never]
            assert [getattr(update, "data", None) for update in seen] == ["c1", None, "new", None]

    run(work())


def test_more_than_fifty_are_resumed_in_several_messages() -> None:
    async def work() -> None:
        async with connected() as (server, client, peer):
            handles = [client.submit("report") for _ in range(120)]
            for _ in handles:
                await peer.expect("report", acknowledgment())
            await until(lambda: all(handle.ref for handle in handles))
            await peer.cut()
            back = await server.accept()
            parts = [back.hello["resume"]]
            parts += [(await back.expect("streamer.resume"))["payload"]["requests"] for _ in "ab"]
            assert [len(part) for part in parts] == [50, 50, 20]
            assert {name for part in parts for name in part} == {one.id for one in handles}

    run(work())


def test_offline_the_outbox_holds_what_it_can() -> None:
    async def work() -> None:
        async with scripted() as server:
            settings = Settings(start_offline=True, backoff=FAST, outbox_limit=2)
            server.refuse = [(503, {})] * 3
            async with Client(server.url, settings=settings) as client:
                handles = [client.submit("a"), client.submit("b")]
                with pytest.raises(OutboxFull, match="2 messages"):
                    client.submit("c")
                peer = await server.accept()
                for handle, action in zip(handles, "ab", strict=True):
                    await peer.answer(action, action)
                    assert await soon(handle.result()) == action
                client.submit("c")
                await peer.recv()

    run(work())


def test_the_outbox_is_bounded_by_bytes_too() -> None:
    async def work() -> None:
        settings = Settings(start_offline=True, outbox_bytes=1000)
        async with Client("ws://127.0.0.1:1", settings=settings) as client:
            client.submit("a", {"x": "x" * 800})
            with pytest.raises(OutboxFull):
                client.submit("a", {"x": "x" * 800})

    run(work())


@pytest.mark.parametrize("subprotocol", [False, True])
def test_the_token_is_fetched_for_every_connection(subprotocol: bool) -> None:
    async def work() -> None:
        tokens = iter(["first", "second", "third"])

        async def token() -> str:
            return next(tokens)

        async with connected(token, token_as_subprotocol=subprotocol) as (server, _client, peer):
            server.refuse = [(401, {})]
            await peer.cut()
            await server.accept()
            if subprotocol:
                offered = server.header("Sec-WebSocket-Protocol")
                assert offered == [f"streamer.v1, bearer.{n}" for n in ("first", "second", "third")]
                assert server.header("Authorization") == [None] * 3
            else:
                expected = [f"Bearer {n}" for n in ("first", "second", "third")]
                assert server.header("Authorization") == expected

    run(work())


def test_a_token_that_is_refused_for_good_ends_everything() -> None:
    async def work() -> None:
        async with connected(lambda: "same") as (server, client, peer):
            handle = client.submit("report")
            events = client.subscribe("room:1")
            call = asyncio.create_task(client.status("r"))
            for _ in range(3):
                await peer.recv()
            server.refuse = [(403, {})] * 2
            await peer.cut()
            for waiting in (handle.result(), anext(events), call, handle.acknowledged()):
                with pytest.raises(Unauthorized) as caught:
                    await soon(waiting)
                assert caught.value.status == 403
            with pytest.raises(Unauthorized):
                client.submit("report")

    run(work())


def test_tokens_are_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "s3cr3t"

    async def work() -> None:
        async with scripted() as server:
            server.refuse = [(401, {}), (302, {"Location": f"{server.url}/{secret}"}), (401, {})]
            server.said = json.dumps({"message": f"{secret} is not good"}).encode()
            url = server.url.replace("ws://", f"ws://user:{secret}@") + f"?token={secret}"
            for subprotocol in (False, True, True):
                settings = Settings(token_as_subprotocol=subprotocol)
                client = Client(url, secret, settings=settings)
                with pytest.raises(HandshakeRefused) as caught:
                    await client.connect()
                assert secret not in f"{client!r} {vars(client)} {caught.value!r}"
                assert caught.value.__context__ is None

            def leak() -> str:
                raise KeyError(secret)

            for token in (leak, f"{secret}\n"):
                with pytest.raises((ConnectionLost, InvalidRequest)) as failure:
                    await Client(server.url, token).connect()
                assert secret not in repr(failure.value)
                assert failure.value.__context__ is None

    with pytest.raises(InvalidRequest) as wrong:
        Client(f"https://{secret}")
    assert secret not in str(wrong.value)
    run(work())
    client_logs = [one for one in caplog.records if one.name.startswith("streamer_client")]
    assert not [one for one in client_logs if secret in one.getMessage()]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (b'{"code": "FORBIDDEN", "message": "There is no such stage"}', ": There is no such stage"),
        (b'{"message": ["no text"]}', ""),
        (b'["no object"]', ""),
        (b"no JSON", ""),
        (b"", ""),
    ],
)
def test_a_refusal_gives_the_servers_reason(said: bytes, shown: str) -> None:
    async def work() -> None:
        async with scripted() as server:
            server.refuse, server.said = [(403, {})], said
            with pytest.raises(Unauthorized) as caught:
                await Client(server.url, "secret").connect()
            assert str(caught.value) == f"{server.url} refused the connection: HTTP 403{shown}"

    run(work())


def test_retry_after_is_honoured_and_the_backoff_has_full_jitter() -> None:
    async def work() -> None:
        timing = Patience()
        backoff = Backoff(base=1.0, cap=4.0)
        async with connected(timing=timing, backoff=backoff) as (server, _client, peer):
            server.refuse = [(503, {"Retry-After": "7"}), (429, {}), (500, {}), (500, {})]
            timing.slept.clear()
            await peer.cut()
            await server.accept()
            slept = [one for one in timing.slept if one < 200]
            assert slept[:5] == [2.0, 11.0, 4.0, 4.0, 4.0]

    run(work())


def test_a_retry_after_may_be_a_date() -> None:
    assert retry_after("Tue, 14 Nov 2023 22:13:30 GMT", now=1_700_000_000) == 10
    assert retry_after("Tue, 14 Nov 2000 22:13:30 GMT", now=1_700_000_000) == 0
    assert retry_after("999999", now=0) == 3600
    assert retry_after("soon", now=0) is None
    assert retry_after(None, now=0) is None


def test_backoff_is_bounded_and_ends_when_told_to() -> None:
    backoff = Backoff(base=1, cap=8, max_attempts=3, give_up_after=60)
    assert [backoff.delay(n, 0.5) for n in (0, 1, 2, 3, 4, 5000)] == [0.5, 1, 2, 4, 4, 4]
    assert backoff.exhausted(attempts=3, offline=0)
    assert backoff.exhausted(attempts=1, offline=60)
    assert not backoff.exhausted(attempts=2, offline=59)
    assert not Backoff().exhausted(attempts=10**6, offline=10**9)


def test_it_gives_up_when_told_to() -> None:
    async def work() -> None:
        async with connected(backoff=Backoff(base=0.001, max_attempts=2)) as (server, client, peer):
            handle = client.submit("report")
            await peer.recv()
            await server.stop()
            await peer.cut()
            with pytest.raises(ConnectionLost, match="gave up after 2"):
                await soon(handle.result())

    run(work())


def test_the_first_connection_fails_at_once() -> None:
    async def work() -> None:
        with pytest.raises(ConnectionLost, match=r"cannot reach ws://127\.0\.0\.1:1"):
            await Client("ws://127.0.0.1:1").connect()

    run(work())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refused("UNSUPPORTED_VERSION"), ProtocolError),
        (refused("RATE_LIMITED"), Refused),
        ({"message": "no", "connectionId": "c", "request_id": None}, GatewayError),
        (None, WaitTimeout),
    ],
)
def test_a_hello_that_is_not_welcome(answer: dict[str, Any] | None, error: type) -> None:
    async def work() -> None:
        async with scripted() as server:
            client = Client(server.url, settings=Settings(open_timeout=0.2))
            entering = asyncio.create_task(client.connect())
            peer = await soon(server.peers.get())
            await peer.expect("streamer.hello", *([answer] if answer else []))
            with pytest.raises(error):
                await soon(entering)

    run(work())


def test_a_server_that_closes_during_the_hello_is_tried_again() -> None:
    async def work() -> None:
        async with connected() as (server, client, peer):
            await peer.cut()
            for answer in (None, refused("RATE_LIMITED", retry={"after_ms": 1})):
                back = await soon(server.peers.get())
                if answer is not None:
                    await back.expect("streamer.hello", answer)
                await back.cut()
            await server.accept()
            await until(lambda: client.connected)

    run(work())


def test_a_goodbye_moves_everything_and_loses_nothing() -> None:
    async def work() -> None:
        async with connected() as (server, client, old):
            stored, at_once = client.submit("report"), client.submit("add")
            events = client.subscribe("room:1")
            await old.expect("report", acknowledgment(), chunk(1))
            await old.recv()
            await old.answer("streamer.subscribe")
            await events
            await old.send({"type": "goodbye", "reason": "drain", "reconnect_after_ms": 1})
            new = await soon(server.peers.get())
            held = client.submit("later")
            name: dict[str, Any] = {"request_id": stored.id}
            await new.welcome(chunk(2, **name), progress(5, 1, **name), resumed(2, **name))
            assert new.hello["resume"] == {stored.id: 1}
            # Both are heard: what comes twice is taken once.
            first, second = {"n": 1}, {"n": 2}
            sent = [await new.recv(), await new.recv()]
            await old.send(chunk(2, **name), {"type": "event", "topic": "room:1", "data": first})
            assert {one["action"] for one in sent} == {"later", "streamer.subscribe"}
            for one in sent:
                await new.send(response(request_id=one["id"]))
            await soon(held.result())
            assert (await soon(anext(events))).data == first
            for data in (first, second):
                await new.send({"type": "event", "topic": "room:1", "data": data})
            assert (await soon(anext(events))).data == second
            await old.send({"type": "event", "topic": "room:1", "data": second})
            await old.send(response(3, request_id=at_once.id))
            assert await soon(at_once.result()) == 3
            assert await old.closed() == 1000
            await new.send({"type": "event", "topic": "room:1", "data": second})
            assert (await soon(anext(events))).data == second
            await new.send(complete(3, **name))
            seen = [update async for update in stored]
            assert [update.seq for update in seen if isinstance(update, Chunk)] == [1, 2]

    run(work())


def test_before_its_age_limit_a_connection_is_replaced() -> None:
    async def work() -> None:
        async with connected(handover_after=0.05) as (server, client, old):
            handle = client.submit("report")
            await old.recv()
            server.refuse = [(500, {})]  # a failed hand-over is tried again
            new = await server.accept()
            # Acknowledged on the old connection, it is told to the new one from now on.
            await old.send(acknowledgment(request_id=handle.id))
            await until(lambda: handle.ref is not None)
            asked = await new.expect("streamer.resume", complete(1, request_id=handle.id))
            assert asked["payload"] == {"requests": {handle.id: 0}}
            assert await soon(handle.result()) == "done"
            assert await old.closed() == 1000

    run(work())


def test_a_cut_during_the_hand_over_is_a_cut_like_any_other() -> None:
    async def work() -> None:
        async with connected() as (server, client, old):
            handle = client.submit("report")
            await old.expect("report", acknowledgment())
            await until(lambda: handle.ref is not None)
            await old.send({"type": "goodbye", "reconnect_after_ms": 20})
            await old.cut()
            new = await server.accept()
            assert new.hello["resume"] == {handle.id: 0}

    run(work())


def test_what_the_old_connection_never_answers_is_looked_for_on_the_new() -> None:
    async def work() -> None:
        async with connected(linger=0.05) as (server, client, old):
            handle = client.submit("report")
            await old.recv()
            await old.send({"type": "goodbye"})
            new = await server.accept()
            await old.closed()
            asked = await new.expect(
                "streamer.resume",
                complete(1, request_id=handle.id),
            )
            assert asked["payload"] == {"requests": {handle.id: 0}}
            assert await soon(handle.result()) == "done"

    run(work())


def test_an_idle_connection_is_kept_alive_and_a_dead_one_given_up() -> None:
    async def work() -> None:
        settings: dict[str, Any] = {"ping_interval": 0.02, "reply_timeout": 0.1}
        async with connected(**settings) as (server, client, peer):
            for _ in range(2):
                await peer.expect("streamer.ping", {"type": "pong"})
            await peer.recv()  # and no pong
            await peer.closed()
            await server.accept()
            await until(lambda: client.connected)

    run(work())


def test_large_messages_go_in_lawful_frames() -> None:
    async def work() -> None:
        async with connected() as (_, client, peer):
            text = "ü" * 60_000
            handle = client.submit("a", {"text": text})
            sizes = []
            parts = [part async for part in peer.websocket.recv_streaming(decode=False)]
            sizes = [len(part) for part in parts]
            assert max(sizes) <= 32 * 1024
            message = decode(b"".join(parts))
            assert message is not None
            assert message["payload"] == {"text": text}
            await peer.send(response(1, request_id=handle.id))
            assert await soon(handle.result()) == 1
            for wrong in ({"x": "x" * MESSAGE_LIMIT}, {"x": object()}, {"x": float("nan")}):
                with pytest.raises(InvalidRequest) as caught:
                    client.submit("a", wrong)
                assert isinstance(caught.value, MessageTooLarge) == isinstance(wrong["x"], str)

    run(work())


def test_fragments_never_cut_a_character() -> None:
    data = ("a" + "€" * 50_000).encode()
    parts = list(fragments(data))
    assert b"".join(parts) == data
    assert all(len(part) <= FRAME_LIMIT and part.decode() for part in parts)


def test_a_server_may_take_less_than_the_protocol_allows() -> None:
    async def work() -> None:
        async with scripted() as server:
            client = Client(server.url, settings=Settings(backoff=FAST))
            entering = asyncio.create_task(client.connect())
            peer = await soon(server.peers.get())
            await peer.welcome(limits={"message_bytes": 1024})
            await soon(entering)
            for asked in (
                client.request("report", {"x": "y" * 2000}),
                client.call("streamer.authenticate", {"token": "y" * 2000}),
            ):
                with pytest.raises(MessageTooLarge, match="the limit is 1,024"):
                    await soon(asyncio.create_task(asked))
            asking = asyncio.create_task(client.status("r"))
            await peer.answer("streamer.status", {})  # nothing came before it
            assert await soon(asking) == {}
            await client.close()

    run(work())


def test_settings_that_cannot_work_are_refused() -> None:
    for wrong in ({"ping_interval": 600}, {"handover_after": 7200}, {"outbox_limit": 0}):
        with pytest.raises(ValueError, match=r"must|least"):
            Settings(**wrong)  # type: ignore[arg-type]
