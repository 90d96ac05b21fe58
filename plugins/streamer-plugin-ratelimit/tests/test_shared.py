"""Many processes, one limit: on every store, with clocks that differ, and at once."""

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from streamer_plugin_dynamodb import deployment
from streamer_plugin_dynamodb.database import Database, connect
from streamer_plugin_dynamodb.store import DynamoStore
from streamer_plugin_dynamodb.tables import TABLES, definition

from streamer_core.ports import Clock, Store
from streamer_core.testing import ManualClock
from tests.emulators import REGION

Start = Callable[..., Any]
OpenStore = Callable[[Clock], Store]


def test_a_hundred_workers_at_once_keep_a_small_limit(
    start: Start, open_store: OpenStore, clock: ManualClock
) -> None:
    """An emulator may not keep up: what is not counted then is refused, and may be lost."""
    section: Any = {"on_store_failure": "refuse"}
    processes = [start({"rate": "5/min"}, store=open_store(clock), **section) for _ in range(100)]
    passed: list[int] = []
    _at_once(lambda one: passed.append(one.allowed(20)), processes)
    uncounted = sum(len(one.measured.named("ratelimit.uncounted")) for one in processes)
    assert 5 - uncounted <= sum(passed) <= 5


def test_workers_at_once_keep_a_large_limit(
    start: Start, open_store: OpenStore, clock: ManualClock
) -> None:
    """Time stands still: the burst passes, but for what is left of the others' slices."""
    bucket = {"rate": "400/s", "burst": 60}
    processes = [start(bucket, store=open_store(clock)) for _ in range(8)]
    passed: list[int] = []
    _at_once(lambda one: passed.append(one.allowed(20)), processes)
    assert 60 - 8 * (7 - 1) <= sum(passed) <= 60


def test_clocks_that_differ_do_no_harm(start: Start, open_store: OpenStore) -> None:
    """Clocks are up to 5 s apart: once, the limit is 5 s ahead; then it is what it is."""
    now = ManualClock().now()
    clocks = [ManualClock(now + skew_ms) for skew_ms in (0, 5000, -3000, 1000)]
    processes = [
        start({"rate": "1/s", "burst": 3}, store=open_store(one), on=one) for one in clocks
    ]
    passed = 0
    for n in range(100):
        passed += processes[n % 4].allowed(2)
        for clock in clocks:
            clock.advance(200)
    assert 3 + 20 - 8 <= passed <= 3 + 20 + 5


class CountedDatabase(Database):
    """Counts the calls that are made."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.calls: Counter[str] = Counter()

    def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self.calls[operation] += 1
        return super().call(operation, arguments)

    @property
    def writes(self) -> int:
        return sum(n for operation, n in self.calls.items() if "get" not in operation)


@pytest.fixture
def database(aws: Callable[[str], str]) -> Iterator[CountedDatabase]:
    connection = connect(region=REGION, endpoint=aws("moto"))
    database = CountedDatabase(f"streamer-test-{uuid4().hex[:12]}-", connection)
    for model in TABLES:
        database.call("create_table", definition(model, database.name(model)))
    database.calls.clear()
    yield database
    deployment.delete(database)


def test_what_a_decision_costs_on_dynamodb(
    start: Start, database: CountedDatabase, clock: ManualClock
) -> None:
    process = start({"rate": "100/s"}, store=DynamoStore(database, clock))
    for _ in range(1000):
        clock.advance(10)
        assert process.allowed(1) == 1
    assert database.writes < 0.1 * 1000
    assert sum(database.calls.values()) < 0.2 * 1000, "and a read with each"


def test_no_decision_costs_more_than_one_write(
    start: Start, database: CountedDatabase, clock: ManualClock
) -> None:
    limits = [{"rate": "100/s", "burst": 30, "by": ["tenant"]}, {"rate": "3/min"}, {"rate": "9/s"}]
    process = start(*limits, store=DynamoStore(database, clock), close_after=20)
    for n in range(60):
        clock.advance(n % 7 * 100)
        before = database.writes
        process.allowed(1)
        assert database.writes - before <= 1
    assert database.writes < 25, "what is refused is written down now and then"


@pytest.mark.uncovered
def test_a_hundred_processes_at_once(tmp_path: Path) -> None:
    """Real processes, real time, one file: no more than the README says, and no less."""
    script = Path(__file__).with_name("workers.py")
    ran = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "streamer.db")],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    told = json.loads(ran.stdout)
    assert told["exact"] == 7
    rate, burst, slice_, hold_s, workers = 80, 80, 10, 1, 100
    over = min(workers * (slice_ - 1), rate * hold_s)
    assert burst <= told["fast"] <= burst + rate * told["took_s"] + over


def _at_once(work: Callable[[Any], object], processes: Sequence[Any]) -> None:
    gate = threading.Barrier(len(processes))

    def run(process: Any) -> None:
        gate.wait(30)
        work(process)

    threads = [threading.Thread(target=run, args=(process,)) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
