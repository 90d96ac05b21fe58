"""What one gateway sends to the clients of another: while that one serves, stops, and is dead."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest
from streamer_client import Backoff, Client, Request, Settings

from streamer_core.model.ids import request_subject
from streamer_core.ports import Query, Store
from tests.e2e.kit.bounds import eventually, soon
from tests.e2e.kit.promises import Kept, check_store
from tests.e2e.kit.proxy import proxied
from tests.e2e.kit.stand import Stand
from tests.e2e.kit.wire import Wire, wired
from tests.e2e.project.jobs import total

Pair = tuple[Stand, Stand]
_SETTINGS = {"handlers": ["tests.e2e.project.jobs", "tests.e2e.project.rooms"]}
_QUICK = Settings(backoff=Backoff(base=0.05, cap=0.5), gap_timeout=0.3)
_PROMPTLY_S = 10
_BOUND_S = 60
_MANY = 24  # one gateway runs 16 at once
_STEPS = 50
_LONG = {"steps": _STEPS, "pause_ms": 50}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Give two stands that share file and folder; both serve, until the last test that has them."""
    folder = tmp_path_factory.mktemp("reach") / "stand"
    first, second = Stand(folder, core=_SETTINGS), Stand(folder, core=_SETTINGS)
    try:
        first.start()
        second.start()
        yield first, second
    finally:
        first.close()
        second.close()


@asynccontextmanager
async def _wires(pair: Pair, each: int) -> AsyncIterator[list[list[Wire]]]:
    """Connect so many times to each; the test may kill the gateways."""
    async with AsyncExitStack() as opened:
        yield [
            [await opened.enter_async_context(wired(stand.gateway.url)) for _ in range(each)]
            for stand in pair
        ]


def test_a_topic_has_subscribers_at_both(pair: Pair) -> None:
    """One event reaches all of them, whichever gateway its publisher is connected to."""

    async def main() -> None:
        async with _wires(pair, each=5) as wires:
            everybody = [wire for one in wires for wire in one]
            for wire in everybody:
                joined = await wire.ask("streamer.subscribe", {"topic": "room:1"})
                assert joined["type"] == "response", joined
            for number, publisher in enumerate((wires[0][0], wires[1][0], wires[0][1])):
                event = {"topic": "room:1", "data": {"n": number}}
                said = await publisher.ask("say", event)
                assert said["type"] == "response", said
                for wire in everybody:
                    await soon(partial(_has_heard, wire, number + 1), "the event")
            for wire in everybody:
                assert _events(wire) == [{"n": 0}, {"n": 1}, {"n": 2}]

    asyncio.run(main())


def _has_heard(wire: Wire, number: int) -> bool:
    return len(_events(wire)) >= number


def _events(wire: Wire) -> list[object]:
    return [message["data"] for message in wire.seen(lambda message: message["type"] == "event")]


def test_a_gateway_that_stands_still_holds_up_nobody_elses(pair: Pair) -> None:
    """And its clients hear the rest once it goes on."""
    still, moves = pair

    async def main() -> None:
        async with (
            Client(still.gateway.url, settings=_QUICK) as its,
            Client(moves.gateway.url, settings=_QUICK) as others,
        ):
            its_own = [its.submit("work", _LONG) for _ in range(_MANY)]
            await soon(lambda: _works_for(moves, its_own), "the other works for its clients")
            os.kill(still.gateway.pid, signal.SIGSTOP)
            try:
                # Longer than it is waited for.
                for _ in range(3):
                    handle = others.submit("work", {"steps": 5, "pause_ms": 200})
                    assert await asyncio.wait_for(handle, _PROMPTLY_S) == total(handle.id, 5)
            finally:
                os.kill(still.gateway.pid, signal.SIGCONT)
            for handle in its_own:
                assert await asyncio.wait_for(handle, _BOUND_S) == total(handle.id, _STEPS)

    asyncio.run(main())


def test_clients_of_a_killed_gateway_go_on_at_the_other(pair: Pair) -> None:
    """Their old connections are forgotten, and their requests end all the same."""
    killed, lives = pair
    store = lives.store()

    async def main() -> None:
        async with (
            proxied(killed.gateway.port) as proxy,
            Client(proxy.url, settings=_QUICK) as client,
        ):
            asked = [client.submit("work", _LONG) for _ in range(_MANY)]
            followed = [asyncio.create_task(_followed(handle)) for handle in asked]
            await soon(lambda: _works_for(lives, asked), "the other works for its clients")
            before = _subscribers(store, asked)
            assert before
            proxy.lead_nowhere()
            killed.kill()
            # Nobody is back yet: the other's workers found them gone.
            await soon(lambda: not _connections(store) & before, "forgotten", _PROMPTLY_S)
            proxy.lead_to(lives.gateway.port)
            for one, handle in zip(followed, asked, strict=True):
                (await asyncio.wait_for(one, _BOUND_S)).check(handle.id, _STEPS)
                assert await handle == total(handle.id, _STEPS)
            check_store(store, [handle.id for handle in asked])

    try:
        asyncio.run(main())
    finally:
        store.close()


async def _followed(handle: Request) -> Kept:
    kept = Kept()
    async for update in handle:
        kept.take(update)
    return kept


def test_connections_of_a_killed_run_are_gone_for_the_next(stand: Stand) -> None:
    """One gateway alone, started again on its file."""
    stand.start()
    store = stand.store()

    async def begin() -> str:
        async with wired(stand.gateway.url) as wire:
            name = await wire.send("work", {"steps": 5, "pause_ms": 50})
            await soon(lambda: wire.by_request.get(name), "it is acknowledged")
            stand.kill()
            return name

    name = asyncio.run(begin())
    before = _connections(store)
    assert len(before) == 1
    stand.all_gone()
    stand.start()
    eventually(lambda: not _connections(store) & before, "forgotten")
    eventually(lambda: _ended(store), "ended")
    check_store(store, [name])
    store.close()


def _connections(store: Store) -> set[str]:
    return {connection.id for connection in store.connections()}


def _subscribers(store: Store, asked: Sequence[Request]) -> set[str]:
    names = {handle.id for handle in asked}
    refs = [record.ref for record in store.query(Query()).items if record.id in names]
    return {one for ref in refs for one in store.subscribers(request_subject(ref))}


def _ended(store: Store) -> bool:
    return all(request.status.terminal for request in store.query(Query()).items)


def _works_for(stand: Stand, asked: Sequence[Request]) -> bool:
    """Tell whether a worker of this one has begun one of these."""
    log = stand.folder / "effects.log"
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    names = {handle.id for handle in asked}
    return bool({int(pid) for _, name, _, pid, *_ in lines if name in names} & set(stand.workers()))
