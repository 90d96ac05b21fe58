"""The blocking client, against a scripted server on a thread of its own."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from streamer_client import (
    BlockingClient,
    BlockingSubscription,
    Chunk,
    ClientClosed,
    Complete,
    ConnectionLost,
    Failed,
    Refused,
    WaitTimeout,
)

from clients.python.tests.scripted_server import (
    ScriptedServer,
    acknowledgment,
    chunk,
    complete,
    failed,
    progress,
    refused,
    resumed,
)

Script = Callable[[ScriptedServer], Coroutine[Any, Any, None]]


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """Run a server that follows a script; the script's failure is the test's."""
    started, failures = threading.Event(), []
    server = ScriptedServer()

    async def serve() -> None:
        await server.start()
        started.set()
        try:
            async with asyncio.timeout(20):
                await script(server)
        finally:
            await server.stop()

    def work() -> None:
        try:
            asyncio.run(serve())
        except Exception as error:  # noqa: BLE001  # shown by the test's own thread
            failures.append(error)
            started.set()

    thread = threading.Thread(target=work)
    thread.start()
    started.wait(10)
    try:
        yield server.url
    finally:
        thread.join(20)
    assert failures == []


def test_requests_of_all_kinds() -> None:
    async def script(server: ScriptedServer) -> None:
        peer = await server.accept()
        await peer.answer("add", 3)
        await peer.expect("report", acknowledgment(), progress(5, 1), chunk(1), complete(2, "a"))
        await peer.expect("report", acknowledgment(), chunk(1), complete(2, "b"))
        await peer.expect("report", failed("PROCESSING_FAILED"))
        for _ in range(2):
            await peer.expect("never")
        name: dict[str, Any] = {"request_id": "r-1"}
        await peer.expect("streamer.resume", complete(1, "c", **name), resumed(1, **name))
        await peer.closed()

    with serving(script) as url, BlockingClient(url) as client:
        assert client.request("add", {"a": 1}) == 3
        seen: list[object] = []
        here = threading.current_thread()

        def on_chunk(one: Chunk) -> None:
            assert threading.current_thread() is here
            seen.append(one.data)

        assert client.request("report", on_chunk=on_chunk, timeout=10) == "a"
        assert seen == ["c1"]
        stream = client.stream("report")
        assert [update.seq for update in stream if isinstance(update, Chunk | Complete)] == [1, 2]
        assert (stream.result(), stream.done, stream.ref) == ("b", True, "ref-1")
        assert stream.last_seq == 2
        assert stream.acknowledged() is not None
        assert stream.id in repr(stream)
        with pytest.raises(Failed):
            client.request("report", on_chunk=on_chunk)
        for callback in (None, on_chunk):
            with pytest.raises(WaitTimeout):
                client.request("never", on_chunk=callback, timeout=0.02)
        assert client.follow("r-1").result(timeout=10) == "c"


def test_cancel_status_and_lists() -> None:
    async def script(server: ScriptedServer) -> None:
        peer = await server.accept()
        await peer.expect("report", acknowledgment())
        await peer.answer("streamer.status", {"status": "queued"})
        await peer.answer("streamer.cancel")
        await peer.answer("streamer.cancel")
        await peer.answer("streamer.status", {"status": "cancelled"})
        for _ in range(2):
            await peer.answer("streamer.list", {"requests": [{"ref": "x"}], "cursor": None})
        await peer.answer("streamer.actions", {"actions": []})
        await peer.expect("streamer.ping", {"type": "pong"})
        await peer.answer("streamer.authenticate", {"expires_at": 1})
        await peer.closed()

    with serving(script) as url, BlockingClient(url) as client:
        handle = client.stream("report")
        assert handle.status() == {"status": "queued"}
        assert handle.cancel() is None
        handle.detach()
        with pytest.raises(ConnectionLost):
            handle.result()
        assert client.cancel(ref="x") is None
        assert client.status("r-1") == {"status": "cancelled"}
        assert list(client.list(limit=5)) == [{"ref": "x"}]
        assert client.list_page(limit=5).requests == ({"ref": "x"},)
        assert client.actions() == ()
        assert client.ping() >= 0
        assert client.call("streamer.authenticate", {"token": "t"}) == {"expires_at": 1}


def test_events() -> None:
    async def script(server: ScriptedServer) -> None:
        peer = await server.accept()
        await peer.expect("streamer.subscribe", refused("FORBIDDEN"))
        await peer.answer("streamer.subscribe")
        await peer.send({"type": "event", "topic": "room:1", "data": 1})
        await peer.answer("streamer.unsubscribe")
        await peer.closed()

    with serving(script) as url, BlockingClient(url) as client:
        with pytest.raises(Refused):
            client.subscribe("secret")
        with client.subscribe("room:1") as events:
            assert isinstance(events, BlockingSubscription)
            assert next(events).data == 1
        assert list(events) == []


def test_a_client_that_is_not_open_says_so() -> None:
    async def script(server: ScriptedServer) -> None:
        peer = await server.accept()
        await peer.closed()

    with serving(script) as url:
        client = BlockingClient(url, "s3cr3t")
        assert "s3cr3t" not in repr(client)
        with pytest.raises(ClientClosed):
            client.ping()
        with client, pytest.raises(ClientClosed):
            client.connect()
        client.close()
        with pytest.raises(ClientClosed):
            client.ping()
    failing = BlockingClient("ws://127.0.0.1:1")
    with pytest.raises(ConnectionLost):
        failing.connect()
    failing.close()
