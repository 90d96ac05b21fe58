"""Generated frames against a live gateway: no crash, no hang, no unbounded memory."""

import asyncio
import json
import random
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from tests.e2e.frames.garden import LIMIT, Garden
from tests.e2e.frames.oracle import refusal
from tests.e2e.kit.bounds import soon
from tests.e2e.kit.processes import memory_mb
from tests.e2e.kit.seed import rounds
from tests.e2e.kit.stand import NewStand, Stand
from tests.e2e.kit.wire import wired

_BATCH = 25
_AT_ONCE = 4
_BULK_EVERY = 12
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
    """A socket, once it has shaken hands, on which anything can be sent.

    Attributes:
        codes: how many messages were refused, by code.
        pongs: how many pings were answered.
        close_code: what the server closed it with, None where it gave none.
    """

    def __init__(self, port: int) -> None:
        self.codes: Counter[str] = Counter()
        self.pongs = 0
        self.ended = False
        self._port = port
        self._ws = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/dev"), max_size=None)

    @property
    def close_code(self) -> int | None:
        return self._ws.close_rcvd.code if self._ws.close_rcvd else None

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

    def say_no_more(self) -> None:
        """End what is sent, perhaps in the middle of a frame."""
        with suppress(OSError):
            self._writer.write_eof()

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
                        self._take(json.loads(bytes(event.data)))
                self._answer()
        self.ended = True

    def _answer(self) -> None:
        """Answer pings and a close, where anything may still be said."""
        if data := b"".join(self._ws.data_to_send()):
            with suppress(OSError, RuntimeError):
                self._writer.write(data)

    def _take(self, message: dict[str, Any]) -> None:
        self.pongs += message["type"] == "pong"
        if message["type"] == "error":
            self.codes[message["error"]["code"]] += 1


@pytest.mark.timeout(900)
def test_generated_frames(new_stand: NewStand, chance: random.Random) -> None:
    stand = new_stand()
    gateway = stand.start()
    batches = rounds(1_000, 10_000) // _BATCH
    seeds = [chance.random() for _ in range(batches)]

    async def main() -> None:
        await _warm_up(stand)
        workers = stand.workers()
        before = {pid: memory_mb(pid) for pid in [gateway.pid, *workers]}
        room = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for number, seed in enumerate(seeds):
                tasks.create_task(_batch(gateway.port, number, seed, room))
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
    """Send messages on one connection, which lives through all of them, and what ends it."""
    garden = Garden(random.Random(seed))
    async with room:
        rough = Rough(port)
        await rough.open()
        try:
            await _is_told(rough, garden, number)
            await _is_closed(rough, *garden.unlawful(garden.text("last")))
        finally:
            await rough.close()


async def _is_told(rough: Rough, garden: Garden, number: int) -> None:
    expected: Counter[str] = Counter()
    for n in range(_BATCH - 1):
        text = garden.text(f"f-{number}-{n}") if n % _BULK_EVERY else garden.bulk()
        if error := refusal(text, LIMIT):
            expected[error] += 1
        await rough.send(garden.lawful(text))
    await rough.send(garden.lawful(b'{"action": "streamer.ping"}'))
    what = f"batch {number}: a pong and {expected}"
    await soon(lambda: rough.ended or _are_told(rough, expected), what, _BOUND_S)
    assert not rough.ended, f"closed ({rough.close_code}) instead of {what}"


async def _is_closed(rough: Rough, data: bytes, codes: tuple[int, ...]) -> None:
    await rough.send(data)
    if not codes:
        rough.say_no_more()
    await soon(lambda: rough.ended, f"a close for {data[:60]!r}", _BOUND_S)
    assert not codes or rough.close_code in codes, f"{rough.close_code} for {data[:60]!r}"


def _are_told(rough: Rough, expected: Counter[str]) -> bool:
    # Messages that the decoder lets pass are refused further on, for other reasons too.
    return rough.pongs > 0 and expected <= rough.codes


async def _head(port: int, data: bytes) -> None:
    """Begin with something else than a handshake: answered, or cut, in good time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(ConnectionError):  # not a timeout, which is an OSError too
        writer.write(data)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), _BOUND_S)
    writer.transport.abort()
