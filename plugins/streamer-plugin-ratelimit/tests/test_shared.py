"""Many processes, one limit: on every store, with clocks that differ, and at once."""

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest
from streamer_plugin_dynamodb import deployment
from streamer_plugin_dynamodb.database import connect
from streamer_plugin_dynamodb.store import DynamoStore

from streamer_core.ports import Clock, Store
from streamer_core.testing import ManualClock
from tests.emulators import EMULATORS, REGION
from tests.emulators.dynamodb import make_tables

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


class Metered:
    """A database, and the calls that botocore makes for it, by operation; those tried again too."""

    def __init__(self, address: str) -> None:
        self.calls: Counter[str] = Counter()
        connection = connect(region=REGION, endpoint=address)
        connection.client.meta.events.register("before-send.dynamodb.*", self._send)
        self.database = make_tables(connection)
        self.calls.clear()

    def _send(self, request: AWSPreparedRequest, **_: Any) -> None:
        self.calls[request.headers["X-Amz-Target"].decode().rpartition(".")[2]] += 1

    @property
    def writes(self) -> int:
        return sum(n for operation, n in self.calls.items() if "Get" not in operation)


@pytest.fixture(params=EMULATORS)
def metered(request: pytest.FixtureRequest, aws: Callable[[str], str]) -> Iterator[Metered]:
    metered = Metered(aws(request.param))
    yield metered
    deployment.delete(metered.database)


def test_what_a_decision_costs_on_dynamodb(
    start: Start, metered: Metered, clock: ManualClock
) -> None:
    process = start({"rate": "100/s"}, store=DynamoStore(metered.database, clock))
    for _ in range(1000):
        clock.advance(10)
        assert process.allowed(1) == 1
    assert 1000 / 12 <= metered.writes < 0.1 * 1000, "a slice is 12 at most"
    assert metered.calls.total() < 0.2 * 1000, "and a read with each"


def test_no_decision_costs_more_than_one_write(
    start: Start, metered: Metered, clock: ManualClock
) -> None:
    limits = [{"rate": "100/s", "burst": 30, "by": ["tenant"]}, {"rate": "3/min"}, {"rate": "9/s"}]
    process = start(*limits, store=DynamoStore(metered.database, clock), close_after=20)
    for n in range(60):
        clock.advance(n % 7 * 100)
        before = metered.writes
        process.allowed(1)
        assert metered.writes - before <= 1
    assert metered.writes < 25, "what is refused is written down now and then"


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
