"""Rough clients: random bytes, connections dropped at every point, departures."""

import random
import socket
from pathlib import Path
from typing import Any

import pytest
from streamer_plugin_local.testing import RunningGateway, Talk, eventually, running_gateway
from streamer_plugin_sqlite import SqliteStore
from websockets.frames import Frame, Opcode

from streamer_core.ports import SystemClock

pytestmark = pytest.mark.uncovered

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def test_nonsense_hurts_nobody(gateway: RunningGateway, talk: Talk) -> None:
    chance = random.Random(7)
    frame = Frame(Opcode.TEXT, b'{"action": "echo"}').serialize(mask=True)
    for turn in range(150):
        data = bytearray(UPGRADE + frame * 3 if turn % 2 else UPGRADE)
        for _ in range(chance.randrange(6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        data = data[: chance.randrange(1, len(data) + 1)] + chance.randbytes(turn % 40)
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as sock:
            for at in range(0, len(data), 50):
                try:
                    sock.sendall(data[at : at + 50])
                except OSError:
                    break
    assert talk.ask("echo")["type"] == "response"
    assert "Traceback" not in gateway.log()


def test_the_core_hears_who_left(project: Any) -> None:
    folder: Path = project(sync_workers=1, async_workers=1)
    with running_gateway(folder) as gateway:
        with Talk(gateway.url) as talk:
            talk.ask("echo")
            assert len(stored(folder)) == 1
        eventually(lambda: not stored(folder), "the departure")


def test_the_core_does_not_hear_it_where_the_fault_is_on(project: Any) -> None:
    folder: Path = project(sync_workers=1, async_workers=1, faults={"drop_disconnect": True})
    with running_gateway(folder) as gateway:
        with Talk(gateway.url) as talk:
            talk.ask("echo")
        # A post to it finds it gone; only then is it forgotten.
        with Talk(gateway.url) as other:
            other.ask("echo")
            assert len(stored(folder)) == 2


def test_new_connections_are_refused_while_the_gateway_drains(project: Any) -> None:
    folder: Path = project(sync_workers=1, async_workers=1)
    with running_gateway(folder) as gateway, Talk(gateway.url) as talk:
        talk.send("block", {"s": 2})
        talk.ask("echo")
        gateway.process.terminate()
        talk.until(lambda m: m["type"] == "goodbye")
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as sock:
            sock.sendall(UPGRADE)
            answer = sock.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: " in answer
        assert gateway.process.wait(30) == 0


def stored(folder: Path) -> list[Any]:
    store = SqliteStore(folder / ".streamer" / "streamer.db", SystemClock())
    try:
        return list(store.connections())
    finally:
        store.close()
