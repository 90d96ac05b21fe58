"""Real processes on one SQLite file: probes are bounded, a change is told once, all see it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamer_plugin_sqlite import SqliteStore

from streamer_core.testing import ManualClock

pytestmark = pytest.mark.uncovered

ACTOR = """
import json, sys
from pathlib import Path
from streamer_core import Settings, Streamer
from streamer_core.errors import CircuitOpen
from streamer_core.markers import hookimpl
from streamer_core.plugins import Found
from streamer_core.testing import ManualClock, MemoryTransport
from streamer_plugin_sqlite import SqliteStore

told = []

class Observer:
    @hookimpl
    def streamer_on_circuit_change(self, name, before, after):
        told.append([before, after])

clock = ManualClock(seed=int(sys.argv[2]))  # or all would draw the same ids
section = {"minimum_calls": 4, "failure_rate": 1.0, "probes": 2}
app = Streamer.start(
    Settings.of({"plugins": ["circuitbreaker"]}, {"circuitbreaker": section}),
    store=SqliteStore(Path(sys.argv[1]), clock), transport=MemoryTransport(), clock=clock,
    load_handlers=False,
)
app.hooks.register(Observer())
circuits = app.hooks.get_plugin("circuitbreaker").circuits
guard = None
print("[]", flush=True)
for line in sys.stdin:
    verb, now = json.loads(line)
    clock.set_now(now)
    try:
        if verb == "enter":
            guard = circuits.of_dependency("ledger").guard(now + 3_600_000)
            guard.__enter__()
        elif guard is not None:
            error = OSError() if verb == "fail" else None
            guard.__exit__(type(error) if error else None, error, None)
        answer = True
    except CircuitOpen:
        guard = None
        answer = False
    print(json.dumps([answer, told]), flush=True)
    told.clear()
"""
PROCESSES = 4
START = 1_800_000_000_000


class Actors:
    """Processes that do as they are told."""

    def __init__(self, database: Path) -> None:
        self.told: list[list[str]] = []
        self.store = SqliteStore(database, ManualClock(START))
        self.those = [
            subprocess.Popen(
                [sys.executable, "-c", ACTOR, str(database), str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(PROCESSES)
        ]
        for actor in self.those:
            self._read(actor)

    def _read(self, actor: Any) -> Any:
        line = actor.stdout.readline()
        assert line, "it ended"
        return json.loads(line)

    def all(self, verb: str, now: int) -> list[bool]:
        """Tell all at once; gives each one's answer."""
        for actor in self.those:
            actor.stdin.write(json.dumps([verb, now]) + "\n")  # type: ignore[union-attr]
        for actor in self.those:
            actor.stdin.flush()  # type: ignore[union-attr]
        answers = [self._read(actor) for actor in self.those]
        for _, told in answers:
            self.told += told
        return [answer for answer, _ in answers]

    @property
    def phase(self) -> Any:
        kept = self.store.get_value("circuit/of/ledger")
        return kept and kept.data["phase"]

    def kill(self, number: int) -> None:
        actor = self.those.pop(number)
        actor.kill()
        actor.communicate()

    def close(self) -> None:
        for actor in self.those:
            actor.kill()
            actor.communicate()
        self.store.close()


@pytest.fixture
def actors(tmp_path: Path) -> Iterator[Actors]:
    actors = Actors(tmp_path / "streamer.db")
    yield actors
    actors.close()


def test_processes_at_once(actors: Actors) -> None:
    now = START
    assert actors.all("enter", now) == [True] * PROCESSES
    actors.all("fail", now + 10)
    assert actors.told == [["closed", "open"]], "by whoever saw the fourth failure"

    # Whoever has looked a moment ago may go by that, and nobody for longer than a second.
    now += 1010
    assert actors.all("enter", now) == [False] * PROCESSES

    now += 30_000
    for _ in range(5):
        let_in = actors.all("enter", now)
        assert 1 <= sum(let_in) <= 2, "never more probes than two"
        actors.all("fail", now + 10)
        now += 30_010
    assert actors.told.count(["closed", "open"]) == 1
    assert actors.told.count(["open", "half_open"]) == 5
    assert actors.told.count(["half_open", "open"]) == 5

    # Those who probe die of it: their places are free again after a minute.
    let_in = actors.all("enter", now)
    assert 1 <= sum(let_in) <= 2
    for number in reversed([n for n, is_in in enumerate(let_in) if is_in]):
        actors.kill(number)
    assert sum(actors.all("enter", now + 1000)) == 2 - sum(let_in)
    actors.all("leave", now + 1010)
    actors.told.clear()
    now += 61_010
    while actors.phase != "closed":
        assert sum(actors.all("enter", now)) <= 2
        actors.all("ok", now + 10)
        now += 1000
    assert actors.told == [["half_open", "closed"]]
    assert all(actors.all("enter", now + 1000))
