"""The core's contracts: of any plugin, and of a transport."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from streamer_plugin_local import front
from streamer_plugin_local.front import Door, Front
from streamer_plugin_local.hub import Hub
from streamer_plugin_local.jobs import Jobs
from streamer_plugin_local.origin import Guard
from streamer_plugin_local.relay import Relay
from streamer_plugin_local.scheduler import Scheduler
from streamer_plugin_local.service import Service
from streamer_plugin_local.settings import LocalSettings
from streamer_plugin_local.supervisor import Supervisor
from streamer_plugin_local.sync_worker import THREADS
from streamer_plugin_local.testing import BOUND_S, Talk, write_project
from streamer_plugin_local.transport import HubTransport

from streamer_core.ports import SystemClock, Transport
from streamer_core.testing import MemoryStore
from streamer_core.testing.contracts import PluginContract, TransportContract


class TestPlugin(PluginContract):
    @pytest.fixture
    def plugin_name(self) -> str:
        return "local"


@dataclass
class Sockets:
    """A gateway's sockets and one real worker, on an event loop in a thread of this process.

    `other` is a second gateway on the same store, without clients.
    """

    project: Path
    hub: Hub | None = None
    other: Hub | None = None
    port: int = 0
    up: threading.Event = field(default_factory=threading.Event)

    async def serve(self) -> None:
        local = LocalSettings(sync_workers=1, async_workers=1, send_buffer_bytes=64 * 1024)
        jobs = Jobs(THREADS)
        self.hub = hub = Hub(local, jobs)
        given = {"config": str(self.project), "overrides": {}, "root": str(self.project)}
        supervisor = Supervisor(local, given, jobs, Scheduler(60), Service(hub).serve)
        await supervisor.start()
        door = Door(hub, jobs, Guard(local), allow_query_token=False, http=asyncio.Protocol)
        server = await asyncio.get_running_loop().create_server(lambda: Front(door), "127.0.0.1")
        self.port = server.sockets[0].getsockname()[1]
        self.ended = asyncio.Event()
        hub.start()
        self.other = Hub(local, jobs)
        store = MemoryStore(SystemClock())
        for one in (hub, self.other):
            one.relay = Relay(one.name, store, 60_000, Service(one).serve)
            await one.relay.start()
        self.up.set()
        await self.ended.wait()
        server.close()
        hub.stop()
        for one in (hub, self.other):
            assert one.relay is not None
            await one.relay.stop()
        await supervisor.stop(1)

    def stop(self) -> None:
        assert self.hub is not None
        self.hub.loop.call_soon_threadsafe(self.ended.set)


@pytest.fixture(scope="module")
def sockets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sockets]:
    found = Sockets(write_project(tmp_path_factory.mktemp("contract"), ""))
    thread = threading.Thread(target=lambda: asyncio.run(found.serve()))
    thread.start()
    assert found.up.wait(60)
    yield found
    found.stop()
    thread.join(30)


class TestTransport(TransportContract):
    can_be_busy = True

    @pytest.fixture
    def transport(self, sockets: Sockets) -> Transport:
        assert sockets.hub is not None
        return HubTransport(sockets.hub)

    @pytest.fixture
    def talks(self) -> Iterator[dict[str, Talk]]:
        talks: dict[str, Talk] = {}
        yield talks
        for talk in talks.values():
            talk.ws.socket.close()

    @pytest.fixture
    def connect(self, sockets: Sockets, talks: dict[str, Talk]) -> Callable[[], str]:
        def connect() -> str:
            talk = Talk(f"ws://127.0.0.1:{sockets.port}/", max_queue=None)
            found: str = talk.ask("streamer.hello", {"version": 1})["connection_id"]
            talks[found] = talk
            return found

        return connect

    @pytest.fixture
    def received(self, talks: dict[str, Talk]) -> Callable[[str, int], Sequence[Any]]:
        def received(connection_id: str, number: int) -> Sequence[Any]:
            ws = talks[connection_id].ws
            return [json.loads(ws.recv(BOUND_S)) for _ in range(number)]

        return received

    @pytest.fixture
    def hang_up(self, talks: dict[str, Talk]) -> Callable[[str], None]:
        return lambda connection_id: talks[connection_id].ws.close()

    @pytest.fixture
    def stall(self, talks: dict[str, Talk]) -> Callable[[str], None]:
        # Its thread that reads the socket waits for a lock, so the kernel's buffers fill.
        return lambda connection_id: talks[connection_id].ws.protocol_mutex.acquire() and None


class TestTransportOfAnother(TestTransport):
    """The same clients, through the gateway that does not hold them."""

    @pytest.fixture
    def transport(self, sockets: Sockets) -> Transport:
        assert sockets.other is not None
        return HubTransport(sockets.other)


@pytest.mark.parametrize("begun", [b"GET / HT", b"\r\n\r\n", b""])
def test_a_head_that_does_not_come_is_not_waited_for(
    sockets: Sockets, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(front, "HEAD_S", 0.05)
    with socket.create_connection(("127.0.0.1", sockets.port), timeout=20) as sock:
        sock.sendall(begun)
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""


def test_threads_post_to_many_and_a_slice_at_a_time(sockets: Sockets) -> None:
    hub = sockets.hub
    assert hub is not None
    done: Future[Mapping[str, int]] = Future()
    ids = [f"nobody-{n}" for n in range(1_200)]

    hub.loop.call_soon_threadsafe(hub.send_many, ids, b"{}", done.set_result)

    assert len(done.result(BOUND_S)) == 1_200
