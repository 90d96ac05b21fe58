"""Two gateways on one SQLite file: each request runs in one of them at a time."""

import asyncio
import random
from collections.abc import Iterator

import pytest
from streamer_client import Client

from streamer_core.ports import Query, Store
from tests.e2e.kit.bounds import eventually
from tests.e2e.kit.promises import check_effects, check_store
from tests.e2e.kit.seed import rounds
from tests.e2e.kit.stand import Stand
from tests.e2e.kit.wire import wired
from tests.e2e.project.jobs import total

Pair = tuple[Stand, Stand]
_HEARD_S = 4


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Give two stands that share file and folder; both serve."""
    folder = tmp_path_factory.mktemp("pair") / "stand"
    first, second = Stand(folder), Stand(folder)
    try:
        first.start()
        second.start()
        yield first, second
    finally:
        first.close()
        second.close()


def test_clients_hear_of_what_the_other_gateway_runs(pair: Pair) -> None:
    async def ask(stand: Stand) -> None:
        async with Client(stand.gateway.url) as client, asyncio.timeout(_HEARD_S):
            asked = [client.submit("work", {"steps": 3, "pause_ms": 50}) for _ in range(10)]
            for handle in asked:
                assert await handle == total(handle.id, 3)

    async def main() -> None:
        await asyncio.gather(*map(ask, pair))

    asyncio.run(main())


def test_no_request_runs_twice_at_once(pair: Pair, chance: random.Random) -> None:
    """Nor when one of the two is killed, and what it had begun is begun again in the other."""
    first, second = pair
    asked = asyncio.run(_ask(pair, chance))
    eventually(lambda: _both_work(pair), "both take part")
    first.kill()
    store = second.store()
    eventually(lambda: not _open(store), "all are ended")
    second.stop()
    check_store(store, asked)
    store.close()
    assert set(check_effects(first.folder / "effects.log")) >= asked


async def _ask(pair: Pair, chance: random.Random) -> set[str]:
    names = [f"{n % 2}-{n}" for n in range(rounds(80, 800))]
    async with wired(pair[0].gateway.url) as one, wired(pair[1].gateway.url) as other:
        wires = {name: (one, other)[int(name[0])] for name in names}
        for name, wire in wires.items():
            payload = {"steps": chance.randint(1, 6), "pause_ms": chance.choice((10, 60, 120))}
            await wire.send("work", payload, id=name)
        for name, wire in wires.items():
            assert (await wire.answer(name))["type"] == "acknowledgment"
    return set(names)


def _both_work(pair: Pair) -> bool:
    lines = (pair[0].folder / "effects.log").read_text().splitlines()
    workers = {int(line.split()[3]) for line in lines}
    return all(workers & set(stand.workers()) for stand in pair)


def _open(store: Store) -> list[str]:
    records = store.query(Query(), limit=10_000).items
    return [record.id for record in records if not record.status.terminal]
