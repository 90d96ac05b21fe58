"""`kill -9` at random moments under load: nothing is lost, nothing is done twice at once."""

import asyncio
import random
from collections.abc import Callable

import pytest

from tests.e2e.kill.load import Load, sound
from tests.e2e.kit.bounds import soon
from tests.e2e.kit.processes import kill
from tests.e2e.kit.promises import check_effects, check_numbers, check_store
from tests.e2e.kit.proxy import proxied
from tests.e2e.kit.seed import rounds
from tests.e2e.kit.stand import NewStand, Stand
from tests.e2e.kit.wire import wired
from tests.e2e.project import bomb

Strike = Callable[[Stand, random.Random], None]
_COMMIT_US = 3_000
_WORKERS = 3


def a_worker(stand: Stand, chance: random.Random) -> None:
    """Kill one worker process."""
    kill(chance.choice(stand.workers()))


def the_gateway(stand: Stand, _chance: random.Random) -> None:
    """Kill the gateway alone; its workers must notice."""
    stand.kill()


def all_processes(stand: Stand, chance: random.Random) -> None:
    """Kill the gateway and all workers, in any order."""
    pids = [stand.gateway.pid, *stand.workers()]
    chance.shuffle(pids)
    for pid in pids:
        kill(pid)
    stand.gateway.process.wait()


def a_commit(stand: Stand, chance: random.Random) -> None:
    """Have the next worker that commits die over it."""
    bomb.arm(stand.folder, delay_us=_in_commit(chance), gateway=False)


def a_commit_and_the_gateway(stand: Stand, chance: random.Random) -> None:
    """The same, and it takes the gateway along."""
    bomb.arm(stand.folder, delay_us=_in_commit(chance), gateway=True)


def _in_commit(chance: random.Random) -> int:
    return chance.choice((bomb.BEFORE, bomb.AFTER, chance.randint(0, _COMMIT_US)))


STRIKES: tuple[Strike, ...] = (
    a_worker,
    the_gateway,
    all_processes,
    a_commit,
    a_commit_and_the_gateway,
)


@pytest.mark.timeout(1800)
def test_kill_at_random_moments(new_stand: NewStand, chance: random.Random) -> None:
    stand = new_stand()
    load = asyncio.run(_storm(stand, chance, rounds(5, 100)))
    stand.stop()
    store = stand.store()
    check_store(store, load.acknowledged | set(load.outcomes))
    store.close()
    check_numbers(load.frames)
    begun = check_effects(stand.folder / "effects.log")
    print(  # noqa: T201 - shown where the test fails
        f"{len(load.acknowledged)} acknowledged, {sum(begun.values()) - len(begun)} begun again, "
        f"{load.restarts} restarts applied"
    )
    assert set(load.outcomes.values()) <= {"completed", "failed"}


async def _storm(stand: Stand, chance: random.Random, kills: int) -> Load:
    async with proxied() as proxy, asyncio.TaskGroup() as tasks:
        proxy.lead_to((await asyncio.to_thread(stand.start)).port)
        load = Load(proxy, chance)
        running = tasks.create_task(load.run())
        for number in range(kills):
            await load.moment()
            strike = _strike(number, chance)
            strike(stand, chance)
            if strike in {a_commit, a_commit_and_the_gateway}:
                await soon(lambda: not (stand.folder / bomb.BOMB).exists(), "a commit")
            if strike in {the_gateway, all_processes, a_commit_and_the_gateway}:
                await asyncio.to_thread(stand.gateway.process.wait, 10)
                proxy.lead_nowhere()
                proxy.lead_to((await asyncio.to_thread(stand.start)).port)
        load.stop()
        await running
        await soon(lambda: len(stand.workers()) == _WORKERS, "the workers are replaced")
        async with wired(proxy.url) as wire:
            await sound(wire)
    return load


def _strike(number: int, chance: random.Random) -> Strike:
    """Choose: each once, then any."""
    return STRIKES[number] if number < len(STRIKES) else chance.choice(STRIKES)
