"""A client that does not read: its memory is bounded, and what is stored is not lost to it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from streamer_client import Client
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.e2e.kit.bounds import soon
from tests.e2e.kit.processes import memory_mb
from tests.e2e.kit.promises import Kept
from tests.e2e.kit.stand import NewStand, Stand
from tests.e2e.kit.wire import Message, Wire, wired
from tests.e2e.project.jobs import total

_STEPS, _FILL = 150, 60_000  # 9 MB
_BOUND_MB = 4
_WINDOW = 64 * 1024
_NAME = "flood"
_ASKED = {"steps": _STEPS, "fill": _FILL, "pause_ms": 5}


@asynccontextmanager
async def _lazy(url: str, port: int) -> AsyncIterator[Any]:
    """Connect with a small buffer, so that nothing is read for the reader."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW)
    sock.connect(("127.0.0.1", port))
    options: dict[str, Any] = {"max_queue": 1, "ping_interval": None, "close_timeout": 1}
    async with connect(url, sock=sock, max_size=None, compression=None, **options) as websocket:
        yield websocket


async def _flood(stand: Stand, websocket: Any, watcher: Wire) -> float:
    """Have far more sent to a client than it reads; gives by how much the gateway grew, in MB."""
    pid = stand.gateway.pid
    await websocket.send(json.dumps({"id": _NAME, "action": "work", "payload": _ASKED}))
    await soon((stand.folder / "effects.log").exists, "it is begun")
    before = memory_mb(pid)
    await watcher.send("streamer.resume", {"requests": {_NAME: 0}}, id="watch")
    # Others are served meanwhile; and one that reads gets everything at once.
    while not watcher.ended(_NAME):
        await watcher.ask("echo", {"n": 1})
        await asyncio.sleep(0.02)
    return memory_mb(pid, "VmHWM") - before


def test_a_reader_that_is_only_late_receives_everything(new_stand: NewStand) -> None:
    stand = new_stand(local={"slow_timeout": "60s"})
    gateway = stand.start()

    async def main() -> None:
        async with wired(gateway.url) as watcher, _lazy(gateway.url, gateway.port) as websocket:
            grown = await _flood(stand, websocket, watcher)
            assert grown < _BOUND_MB, f"the gateway grew by {grown:.1f} MB"
            late = await _read(websocket)
        quick = watcher.by_request[_NAME]
        assert _numbered(late) == _numbered(quick)
        # Snapshots in between are the first to give way.
        assert _count(late, "progress") < _count(quick, "progress")

    asyncio.run(main())
    stand.stop()


def test_a_reader_that_never_reads_is_cut_off_and_loses_nothing(new_stand: NewStand) -> None:
    stand = new_stand(local={"slow_timeout": "500ms"})
    gateway = stand.start()

    async def main() -> None:
        async with wired(gateway.url) as watcher, _lazy(gateway.url, gateway.port) as websocket:
            grown = await _flood(stand, websocket, watcher)
            assert grown < _BOUND_MB, f"the gateway grew by {grown:.1f} MB"
            store = stand.store()
            await soon(
                lambda: len(store.connections(tenant="default")) == 1, "the reader is cut off"
            )
            store.close()
            with pytest.raises(ConnectionClosed):
                await _read(websocket)
        async with Client(gateway.url) as client:
            kept, handle = Kept(), client.follow(_NAME)
            async for update in handle:
                kept.take(update)
            assert await handle == total(_NAME, _STEPS)
        assert len(kept.chunks) == _STEPS

    asyncio.run(main())
    stand.stop()


def test_output_that_is_not_kept_waits_for_its_reader_and_then_fails(new_stand: NewStand) -> None:
    """A request answered at once: nothing of it is stored, so its handler is told, and ends."""
    stand = new_stand(local={"slow_timeout": "60s"})
    gateway = stand.start()

    async def main() -> None:
        async with wired(gateway.url) as watcher, _lazy(gateway.url, gateway.port) as websocket:
            before = memory_mb(gateway.pid)
            await websocket.send(json.dumps({"id": _NAME, "action": "pour", "payload": _ASKED}))
            await soon(lambda: '"Unavailable"' in stand.log(), "the handler fails")
            assert memory_mb(gateway.pid, "VmHWM") - before < _BOUND_MB
            assert (await watcher.ask("echo", {"n": 1}))["data"] == {"n": 1}
            last = (await _read(websocket))[-1]
        assert last["error"]["code"] == "SERVICE_UNAVAILABLE", last

    asyncio.run(main())
    stand.stop()


async def _read(websocket: Any) -> list[Message]:
    """Read on until the request has ended."""
    messages: list[Message] = []
    async with asyncio.timeout(30):
        async for text in websocket:
            messages.append(json.loads(text))
            if messages[-1].get("terminal"):
                return messages
    raise AssertionError("closed before the end")


def _numbered(messages: list[Message]) -> list[tuple[int, str]]:
    """Give number and kind of what is stored, as a client applies it: in order, once."""
    return sorted({(one["seq"], one["type"]) for one in messages if "seq" in one})


def _count(messages: list[Message], kind: str) -> int:
    return sum(one["type"] == kind for one in messages)
