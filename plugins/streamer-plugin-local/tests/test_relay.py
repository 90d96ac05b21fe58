"""Asking another gateway, over real sockets: one that answers, is dead, silent, or full."""

import asyncio
import json
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import structlog
from streamer_plugin_local import peers, relay, rendezvous
from streamer_plugin_local.peers import Caller
from streamer_plugin_local.records import DELIVERIES, Kind, Record, Splitter, encode
from streamer_plugin_local.relay import Relay
from structlog.testing import LogCapture

from streamer_core.errors import StoreError
from streamer_core.ports import Delivery, SystemClock
from streamer_core.testing import MemoryStore

OWN, OTHER, THIRD = "0000000a", "0000000b", "0000000c"
LIFE_MS = 60_000
BOUND_S = 10

T = TypeVar("T")
Lines = Sequence[MutableMapping[str, Any]]


@pytest.fixture
def logs() -> Iterator[Lines]:
    capture = LogCapture()
    before = structlog.get_config() if structlog.is_configured() else None
    structlog.configure(processors=[capture], cache_logger_on_first_use=False)
    yield capture.entries
    structlog.reset_defaults()
    if before:
        structlog.configure(**before)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(SystemClock())


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder for sockets: pytest's own may have too long a path."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, BOUND_S))


async def soon(look: Callable[[], T | None]) -> T:
    while not (found := look()):  # noqa: ASYNC110 - `run` bounds it
        await asyncio.sleep(0.001)
    return found


def nothing(_caller: Caller, _record: Record) -> None:
    raise AssertionError("nobody asks this one")


@asynccontextmanager
async def relaying(store: MemoryStore, name: str = OWN) -> AsyncIterator[Relay]:
    one = Relay(name, store, LIFE_MS, nothing)
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


def register(store: MemoryStore, name: str, path: Path, host: str | None = None) -> None:
    store.put_value(f"gateway/{name}", {"host": host or socket.gethostname(), "socket": str(path)})


class Other:
    """A gateway by its socket alone: it answers when it is told to."""

    def __init__(self, store: MemoryStore, path: Path, name: str = OTHER) -> None:
        self.got: asyncio.Queue[Record] = asyncio.Queue()
        self.reads = True
        self.called = asyncio.Event()
        self._path = path
        self._writer: asyncio.StreamWriter | None = None
        register(store, name, path)

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._read, self._path)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer, splitter = writer, Splitter()
        self.called.set()
        if not self.reads:
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a socket's
        while data := await reader.read(65_536):
            for record in splitter.feed(data):
                self.got.put_nowait(record)
        writer.close()

    def answer(self, record: Record, body: bytes) -> None:
        assert self._writer is not None
        self._writer.write(encode(Kind.RESULT, record[1], body))

    def cut(self) -> None:
        assert self._writer is not None
        self._writer.transport.abort()

    def die(self) -> None:
        self._server.close()
        if self._writer is not None:
            self.cut()


@asynccontextmanager
async def pair(store: MemoryStore, folder: Path) -> AsyncIterator[tuple[Relay, Other]]:
    other = Other(store, folder / "b")
    await other.start()
    async with relaying(store) as one:
        try:
            yield one, other
        finally:
            other.die()


def offered(one: Relay, *ids: str, data: bytes = b"{}") -> asyncio.Future[dict[str, Delivery]]:
    """Offer what was not found here; gives what stays undelivered."""
    future: asyncio.Future[dict[str, Delivery]] = asyncio.get_running_loop().create_future()
    one.offer(
        data,
        lambda left: future.set_result({key: DELIVERIES[at] for key, at in left.items()}),
        dict.fromkeys(ids, DELIVERIES.index(Delivery.GONE)),
    )
    return future


def waited_for(one: Relay) -> asyncio.Future[dict[str, Delivery]] | None:
    """Offer, and give the answer's future where it did not come at once."""
    future = offered(one, f"{OTHER}-x")
    return None if future.done() else future


def is_open(one: Relay, connection_id: str) -> asyncio.Future[bool]:
    future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    one.is_open(connection_id, future.set_result)
    return future


# -- who answers


def test_each_owner_is_asked_for_its_own(store: MemoryStore, folder: Path) -> None:
    async def main() -> None:
        async with pair(store, folder) as (one, other):
            there, busy, here = f"{OTHER}-x", f"{OTHER}-y", f"{OWN}-z"
            future = offered(one, here, there, busy, f"{THIRD}-x", "nobody", data=b'{"n": 1}')
            kind, number, body = await other.got.get()
            assert kind == Kind.SEND_MANY
            assert body[4:12] == b'{"n": 1}'
            assert json.loads(body[12:]) == [there, busy]
            other.answer((kind, number, body), json.dumps({busy: 2}).encode())
            assert await future == {
                here: Delivery.GONE,
                f"{THIRD}-x": Delivery.GONE,
                "nobody": Delivery.GONE,
                busy: Delivery.BUSY,
            }

    run(main())


def test_what_is_not_gone_is_not_offered(store: MemoryStore) -> None:
    async def main() -> None:
        async with relaying(store) as one:
            left: list[Any] = []
            undelivered = {f"{OTHER}-x": DELIVERIES.index(Delivery.BUSY)}
            one.offer(b"{}", left.append, undelivered)
            one.offer(b"{}", left.append, {})
            assert left == [undelivered, {}]

    run(main())


def test_whether_it_is_open_and_that_it_be_closed(store: MemoryStore, folder: Path) -> None:
    async def main() -> None:
        async with pair(store, folder) as (one, other):
            for body in (b"\x01", b"\x00"):
                asked = is_open(one, f"{OTHER}-x")
                record = await other.got.get()
                assert (record[0], record[2]) == (Kind.IS_OPEN, f"{OTHER}-x".encode())
                other.answer(record, body)
                assert await asked is (body == b"\x01")
            assert not await is_open(one, f"{THIRD}-x")
            assert not await is_open(one, f"{OWN}-x")

            one.close(f"{OWN}-x", 1000, "")
            one.close(f"{OTHER}-x", 1001, "bye")
            kind, _, body = await other.got.get()
            assert kind == Kind.CLOSE
            assert json.loads(body) == {"id": f"{OTHER}-x", "code": 1001, "reason": "bye"}

    run(main())


# -- who does not


def test_a_gateway_that_was_killed_is_gone(store: MemoryStore, folder: Path) -> None:
    """Its socket is left behind, and refuses."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "b"))
    register(store, OTHER, folder / "b")
    register(store, THIRD, folder / "was removed" / "c")

    async def main() -> None:
        async with relaying(store) as one:
            ids = [f"{OTHER}-x", f"{OTHER}-y", f"{THIRD}-x"]
            for _ in range(2):
                assert await offered(one, *ids) == dict.fromkeys(ids, Delivery.GONE)

    run(main())


def test_one_of_another_machine_is_busy(store: MemoryStore, folder: Path, logs: Lines) -> None:
    """That its socket is not here says nothing; it is looked for now and then, not each time."""
    register(store, OTHER, folder / "b", host="elsewhere.example")

    async def main() -> None:
        async with relaying(store) as one:
            for _ in range(2):
                assert await offered(one, f"{OTHER}-x") == {f"{OTHER}-x": Delivery.BUSY}

    run(main())
    assert [line["event"] for line in logs] == ["another gateway cannot be reached"]


def test_one_that_dies_over_a_question_is_gone(store: MemoryStore, folder: Path) -> None:
    async def main() -> None:
        async with pair(store, folder) as (one, other):
            future = offered(one, f"{OTHER}-x")
            await other.got.get()
            other.die()
            assert await future == {f"{OTHER}-x": Delivery.GONE}

    run(main())


def test_one_that_only_cuts_the_line_is_busy_and_found_again(
    store: MemoryStore, folder: Path
) -> None:
    async def main() -> None:
        async with pair(store, folder) as (one, other):
            future = offered(one, f"{OTHER}-x")
            await other.got.get()
            other.cut()
            assert await future == {f"{OTHER}-x": Delivery.BUSY}
            again = offered(one, f"{OTHER}-x")
            other.answer(await other.got.get(), b"{}")
            assert await again == {}

    run(main())


def test_one_that_is_silent_is_waited_for_once(
    store: MemoryStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "ANSWER_S", 0.05)

    async def main() -> None:
        async with pair(store, folder) as (one, other):
            assert await offered(one, f"{OTHER}-x") == {f"{OTHER}-x": Delivery.BUSY}
            at_once = offered(one, f"{OTHER}-x")
            assert at_once.done()
            assert at_once.result() == {f"{OTHER}-x": Delivery.BUSY}
            assert await is_open(one, f"{OTHER}-x")

            record = await other.got.get()
            assert other.got.empty()
            other.answer(record, b"{}")
            again = await soon(lambda: waited_for(one))
            other.answer(await other.got.get(), b"{}")
            assert await again == {}

    run(main())


def test_one_that_does_not_read_is_busy(
    store: MemoryStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "_BUFFER_BYTES", 1024)

    async def main() -> None:
        async with pair(store, folder) as (one, other):
            other.reads = False
            first = offered(one, f"{OTHER}-x", data=b"x" * 4_000_000)
            await soon(lambda: waited_for(one) is None)
            assert not first.done()
            await other.called.wait()

    run(main())


def test_a_store_that_fails_says_nothing_of_anybody(
    store: MemoryStore, folder: Path, monkeypatch: pytest.MonkeyPatch, logs: Lines
) -> None:
    monkeypatch.setattr(relay, "_AGAIN_S", 0.02)

    async def main() -> None:
        async with pair(store, folder) as (one, other):
            store.faults.fail_next("get_value", StoreError("no disk"))
            assert await offered(one, f"{OTHER}-x") == {f"{OTHER}-x": Delivery.BUSY}
            again = await soon(lambda: waited_for(one))
            other.answer(await other.got.get(), b"{}")
            assert await again == {}

    run(main())
    assert [line["event"] for line in logs] == ["another gateway cannot be reached"]


# -- being found


def test_a_gateway_can_be_found_until_it_stops(store: MemoryStore) -> None:
    gone: list[Path] = []

    def check(address: Path) -> None:
        assert address.is_socket()
        assert stat.S_IMODE(address.parent.stat().st_mode) == 0o700

    async def main() -> None:
        async with relaying(store):
            found = store.get_value(f"gateway/{OWN}")
            assert found is not None
            check(Path(found.data["socket"]))
        assert store.get_value(f"gateway/{OWN}") is None
        gone.append(Path(found.data["socket"]).parent)

    run(main())
    assert not gone[0].exists()


def test_stopping_leaves_nobody_waiting(store: MemoryStore, folder: Path) -> None:
    async def main() -> None:
        async with pair(store, folder) as (one, other):
            future = offered(one, f"{OTHER}-x")
            await other.got.get()
            await one.stop()
            assert await future == {f"{OTHER}-x": Delivery.BUSY}

    run(main())


def test_where_it_is_is_said_again_and_after_a_failure(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, logs: Lines
) -> None:
    monkeypatch.setattr(relay, "_RENEW_S", 0.01)
    monkeypatch.setattr(relay, "_AGAIN_S", 0.01)
    store.faults.fail_next("put_value", StoreError("no disk"), times=2)

    def version() -> int:
        found = store.get_value(f"gateway/{OWN}")
        return found.version if found else 0

    async def main() -> None:
        async with relaying(store):
            await soon(lambda: version() >= 3)

    run(main())
    assert [line["event"] for line in logs] == ["other gateways cannot find this one yet"] * 2


def test_one_that_cannot_listen_asks_all_the_same(
    store: MemoryStore, folder: Path, monkeypatch: pytest.MonkeyPatch, logs: Lines
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "nowhere"))

    async def main() -> None:
        async with pair(store, folder) as (one, other):
            assert store.get_value(f"gateway/{OWN}") is None
            future = offered(one, f"{OTHER}-x")
            other.answer(await other.got.get(), b"{}")
            assert await future == {}

    run(main())
    assert [line["event"] for line in logs] == ["other gateways cannot reach this one"]


# -- the socket's folder


def test_a_path_is_never_too_long_for_a_socket(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = folder / ("d" * 80)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))

    address = rendezvous.new_address()
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(address))
    finally:
        rendezvous.remove(address)
    assert not address.parent.exists()


def test_what_the_killed_left_is_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    made: dict[str, Path] = {}

    def bound(name: str) -> socket.socket:
        made[name] = rendezvous.new_address()
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(made[name]))
        return sock

    with bound("lives") as lives, bound("begins"):
        lives.listen()
        bound("dead").close()
        made["file"] = rendezvous.new_address()
        made["file"].touch()
        for name in ("lives", "dead", "file"):
            os.utime(made[name], (0, 0))

        rendezvous.new_address()

    assert {name for name, path in made.items() if path.exists()} == {"lives", "begins", "file"}
