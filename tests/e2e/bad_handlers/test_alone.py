"""A handler that ends its process costs that worker alone: no other, and not the gateway."""

import asyncio
from typing import Any

from tests.e2e.bad_handlers.others import others_go_on
from tests.e2e.kit.bounds import soon
from tests.e2e.kit.processes import lives
from tests.e2e.kit.seed import LONG
from tests.e2e.kit.stand import NewStand, Stand
from tests.e2e.kit.wire import wired

_OF_EACH = 2
_WAYS = ("exit", "kill", "crash", "hog") if LONG else ("exit", "hog")


def test_whoever_dies_dies_alone(new_stand: NewStand) -> None:
    handlers = ["tests.e2e.project.jobs", "tests.e2e.project.trouble"]
    stand = new_stand(
        core={"handlers": handlers},
        local={"sync_workers": _OF_EACH, "async_workers": _OF_EACH, "worker_memory_mb": 300},
    )
    gateway = stand.start()
    asyncio.run(_die(stand, gateway.workers))
    assert lives(gateway.pid)
    stand.stop()


async def _die(stand: Stand, first: list[int]) -> None:
    """Have one die after the other, at once and queued; each time see who is gone."""
    # The gateway starts those for messages first.
    crews = {"trouble_now": set(first[:_OF_EACH]), "trouble": set(first[_OF_EACH:])}
    async with wired(stand.gateway.url) as wire:
        for way in _WAYS:
            for action, crew in crews.items():
                async with others_go_on(stand):
                    name = await wire.send(action, {"way": way})
                    end = await wire.end(name, 60)
                assert end["type"] == "error", f"{action} {way}: {end}"
                # A queued one is tried twice.
                await _lost(stand, crews, action, 1 if action == "trouble_now" else 2)
                assert len(crew) == _OF_EACH


async def _lost(stand: Stand, crews: dict[str, set[int]], action: str, at_most: int) -> None:
    """See that only workers of one kind are gone, few of them; note who came instead."""

    def replaced() -> Any:
        return len(stand.workers()) == 2 * _OF_EACH

    await soon(replaced, "the workers are replaced")
    now = set(stand.workers())
    for kind, crew in crews.items():
        gone = crew - now
        assert len(gone) <= (at_most if kind == action else 0), f"{gone} are gone by {action}"
    others = set().union(*(crew for kind, crew in crews.items() if kind != action))
    crews[action].intersection_update(now)
    crews[action].update(now - others)
