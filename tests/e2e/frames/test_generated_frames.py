"""Generated frames against a live gateway: no crash, no hang, no unbounded memory."""

import asyncio
import json
import random
from contextlib import suppress

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from tests.e2e.frames.garden import Garden
from tests.e2e.kit.bounds import soon
from tests.e2e.kit.processes import memory_mb
from tests.e2e.kit.seed import rounds
from tests.e2e.kit.stand import NewStand, Stand
from tests.e2e.kit.wire import wired

_BATCH = 25
_AT_ONCE = 4
_BOUND_S = 30
_BOUND_MB = 60
_HEADS = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"\r\n\r\n",
    b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    b"GET /dev HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET " + b"/" * 100_000,
    b"POST /@connections/nobody HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{",
)


class Rough:
    """A socket, once it has shaken hands, on which anything can be sent."""

    def __init__(self, port: int) -> None:
        self.answers = 0
        self.ended = False
        self._port = port
        self._ws = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/dev"), max_size=None)

    async def open(self) -> None:
        """Shake hands, and read from then on."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._ws.send_request(self._ws.connect())
        self._writer.write(b"".join(self._ws.data_to_send()))
        self._reading = asyncio.create_task(self._read())

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        with suppress(OSError):
            self._writer.write(data)
            await self._writer.drain()

    async def close(self) -> None:
        """Cut it."""
        self._writer.transport.abort()
        await self._reading

    async def _read(self) -> None:
        with suppress(OSError):
            while data := await self._reader.read(65_536):
                self._ws.receive_data(data)
                for event in self._ws.events_received():
                    if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                        assert "type" in json.loads(bytes(event.data))
                        self.answers += 1
        self.ended = True


def test_generated_frames(new_stand: NewStand, chance: random.Random) -> None:
    stand = new_stand(local={"idle_timeout": "20s"})
    gateway = stand.start()
    batches = rounds(1_000, 10_000) // _BATCH
    seeds = [chance.random() for _ in range(batches)]

    async def main() -> None:
        await _warm_up(stand)
        workers = stand.workers()
        before = {pid: memory_mb(pid) for pid in [gateway.pid, *workers]}
        room = asyncio.Semaphore(_AT_ONCE)
        await asyncio.gather(*(_batch(gateway.port, n, one, room) for n, one in enumerate(seeds)))
        for head in _HEADS:
            await _head(gateway.port, head + chance.randbytes(50))
        async with wired(gateway.url) as wire:
            assert (await wire.ask("echo", {"n": 1}))["data"] == {"n": 1}
        assert stand.workers() == workers, "nothing that a client sends ends a process"
        grown = {pid: memory_mb(pid) - had for pid, had in before.items()}
        assert max(grown.values()) < _BOUND_MB, grown

    asyncio.run(main())
    stand.stop()
    assert "Traceback" not in stand.log(), stand.log()[-3000:]


async def _warm_up(stand: Stand) -> None:
    async with wired(stand.gateway.url) as wire:
        names = [await wire.send("work", {"steps": 1}) for _ in range(50)]
        for name in names:
            await wire.end(name)


async def _batch(port: int, number: int, seed: float, room: asyncio.Semaphore) -> None:
    """Send some frames on one connection: an answer to the last, or the connection is closed."""
    garden = Garden(random.Random(seed))
    async with room:
        rough = Rough(port)
        await rough.open()
        for n in range(_BATCH):
            await rough.send(garden.frames(f"f-{number}-{n}"))
            if rough.ended:
                break
        before = rough.answers
        ping = {"id": "last", "action": "streamer.ping"}
        await rough.send(Frame(Opcode.TEXT, json.dumps(ping).encode()).serialize(mask=True))
        what = f"an answer or a close; batch {number}"
        await soon(lambda: rough.ended or rough.answers > before, what, _BOUND_S)
        await rough.close()


async def _head(port: int, data: bytes) -> None:
    """Begin with something else than a handshake: answered, or cut, in good time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(OSError):
        writer.write(data)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), _BOUND_S)
    writer.transport.abort()
