"""Every store: processes, each with its own way to the same store, race; threads stand for them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from streamer_core.errors import CircuitOpen
from streamer_core.ports import Clock, Store
from streamer_core.testing import ManualClock
from streamer_core.testing.contracts.build import race

RACERS = 5
SECTION = {"minimum_calls": RACERS, "failure_rate": 1.0, "probes": 2}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def fleet(
    open_store: Callable[[Clock], Store], clock: ManualClock, processes: Any
) -> Iterator[list[Any]]:
    """Give processes that share a store."""
    with ExitStack() as stack:
        fleet = [processes.of(open_store(clock), clock, SECTION) for _ in range(RACERS)]
        for process in fleet:
            stack.callback(process.app.close)
        yield fleet


def entered(guard: Any) -> bool:
    try:
        guard.__enter__()
    except CircuitOpen:
        return False
    return True


def test_a_life(fleet: list[Any], clock: ManualClock) -> None:
    """All fail at once, one opens it, no more probe than may, one failure opens it again."""
    race(RACERS, lambda n: fleet[n].use(fails=True))
    clock.advance(1000)  # who was too slow to write writes now, and all look
    race(RACERS, lambda n: fleet[n].use())
    assert fleet[0].phase == "open"
    clock.advance(1000)
    assert not any(race(RACERS, lambda n: fleet[n].use()))

    clock.advance(30_000)
    guards = [process.guard() for process in fleet]
    let_in = race(RACERS, lambda n: entered(guards[n]))
    assert 1 <= sum(map(bool, let_in)) <= 2, "with luck two, and never more"
    for n in range(RACERS):
        let_in[n] = let_in[n] or entered(guards[n])
    assert sum(map(bool, let_in)) == 2, "there was room for both"
    probes = [guard for guard, is_in in zip(guards, let_in, strict=True) if is_in]
    race(2, lambda n: probes[n].__exit__(OSError, OSError(), None))
    assert fleet[0].phase == "open"

    clock.advance(30_000)
    assert any(race(RACERS, lambda n: fleet[n].use()))
    while fleet[0].phase != "closed":
        clock.advance(1000)
        assert any(fleet[n].use() for n in range(RACERS))
    changes = [change for process in fleet for change in process.seen.changes]
    assert sorted(changes) == sorted(
        [
            ("ledger", "closed", "open"),
            ("ledger", "open", "half_open"),
            ("ledger", "half_open", "open"),
            ("ledger", "open", "half_open"),
            ("ledger", "half_open", "closed"),
        ]
    )


def test_a_name_of_any_letters(fleet: list[Any]) -> None:
    name = "kasse/äöü \N{DUCK} 'x'" * 5
    assert fleet[0].use(fails=True, name=name)
    assert fleet[1].row(name)["calls"] == "1"
