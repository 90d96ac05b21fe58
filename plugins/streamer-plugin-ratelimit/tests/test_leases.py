"""What a process lets pass by itself: how much, for how long, and what that costs."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamer_plugin_ratelimit.allowance import HOLD_S
from streamer_plugin_ratelimit.recent import Recent

from streamer_core.errors import StoreError
from streamer_core.model.counter import Count
from streamer_core.testing import ManualClock, MemoryStore

pytestmark = pytest.mark.uncovered

Start = Callable[..., Any]


class CountingStore(MemoryStore):
    """Keeps which counts were taken, and how often it was asked."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.asked = 0
        self.writes: list[float] = []

    def count(self, counts: Any) -> Any:
        self.asked += 1
        counted = super().count(counts)
        if counted.accepted:
            self.writes.append(sum(count.amount for count in counts))
        return counted


@pytest.fixture
def store(clock: ManualClock) -> CountingStore:
    return CountingStore(clock)


def steady(process: Any, clock: ManualClock, *, every_ms: int, times: int) -> int:
    """Send at an even pace; give how many passed."""
    ann = process.connect()
    passed = 0
    for _ in range(times):
        clock.advance(every_ms)
        passed += process.send(ann) is None
    return passed


@pytest.mark.parametrize(
    ("rate", "every_ms", "most"),
    [("100/s", 10, 0.1), ("1000/s", 10, 0.07), ("100/s", 100, 0.2), ("100/s", 2000, 1)],
)
def test_what_a_steady_client_costs(
    start: Start, store: CountingStore, rate: str, every_ms: int, most: float
) -> None:
    process = start({"rate": rate}, store=store)
    clock = process.app.clock
    assert steady(process, clock, every_ms=every_ms, times=1000) == 1000
    assert len(store.writes) <= most * 1000
    assert sum(store.writes) <= 1.1 * 1000, "little is leased that is not used"


@pytest.mark.parametrize(("number", "most"), [(4, 0.1), (8, 0.15), (16, 0.3), (32, 0.6)])
def test_what_a_steady_client_costs_in_many_processes(
    start: Start, store: CountingStore, number: int, most: float
) -> None:
    processes = [start({"rate": "100/s"}, store=store) for _ in range(number)]
    clock = processes[0].app.clock
    for n in range(1000):
        clock.advance(10)
        assert processes[n % number].allowed(1) == 1
    assert len(store.writes) <= most * 1000


def test_a_small_limit_is_asked_for_each_time(
    start: Start, clock: ManualClock, store: CountingStore
) -> None:
    process = start({"rate": "5/min"}, store=store)
    assert steady(process, clock, every_ms=12_001, times=30) == 30
    assert store.writes == [1] * 30


def test_who_is_refused_on_and_on_costs_little(
    start: Start, clock: ManualClock, store: CountingStore
) -> None:
    process = start({"rate": "100/s"}, store=store, close_after=0)
    passed = steady(process, clock, every_ms=1, times=10_000)
    assert 1000 <= passed <= 1101
    assert len(store.writes) < 0.03 * 10_000
    assert store.asked < 0.07 * 10_000


def test_a_refusal_is_believed_for_a_second(
    start: Start, clock: ManualClock, store: CountingStore
) -> None:
    process = start({"rate": "5/d", "by": ["tenant"]}, store=store)
    ann = process.connect()
    assert process.passed(ann, 7) == 5
    store.count([Count(key="ratelimit.limit-0/7.default", amount=-5)])
    clock.advance(999)
    assert process.send(ann) is not None
    clock.advance(1)
    assert process.passed(ann, 7) == 5


def test_what_was_leased_long_ago_is_given_up(
    start: Start, clock: ManualClock, store: CountingStore
) -> None:
    process = start({"rate": "100/s", "burst": 200}, store=store)
    ann = process.connect()
    assert process.passed(ann, 16) == 16
    assert store.writes == [1, 2, 4, 8, 12]
    clock.advance_s(HOLD_S)
    assert process.send(ann) is None
    assert store.writes == [1, 2, 4, 8, 12, 1]


def test_a_limit_does_not_seep_away_in_many_processes(
    start: Start, clock: ManualClock, store: CountingStore
) -> None:
    """A client within its limit, whose messages go to one process after the other, is let pass."""
    processes = [start({"rate": "100/s"}, store=store) for _ in range(50)]
    ann = processes[0].connect()
    for n in range(2000):
        clock.advance(10)
        assert processes[n % 50].send(ann) is None


BUCKET = {"rate": "40/s", "burst": 80}
SLICE = 5
PROCESSES = 4
WAITS = st.sampled_from([0, 0, 1, 50, 400, 999, 3000])
STEPS = st.lists(st.tuples(WAITS, st.integers(0, PROCESSES - 1), st.integers(1, 90)), max_size=60)


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(STEPS)
def test_no_more_passes_than_is_said(start: Start, steps: list[tuple[int, int, int]]) -> None:
    """In no stretch of time: burst + rate x time + min(processes x (slice - 1), rate x 1 s)."""
    clock = ManualClock()
    store = MemoryStore(clock)
    processes = [start(BUCKET, store=store, on=clock) for _ in range(PROCESSES)]
    passed: list[tuple[float, int]] = []
    for wait_ms, place, times in steps:
        clock.advance(wait_ms)
        passed.append((clock.monotonic(), processes[place].allowed(times)))
    over = min(PROCESSES * (SLICE - 1), 40 * HOLD_S)
    for begin, (since, _) in enumerate(passed):
        total = 0
        for until, number in passed[begin:]:
            total += number
            assert total <= 80 + 40 * (until - since) + over


def test_threads_of_one_process_share_its_slices(start: Start, store: CountingStore) -> None:
    process = start({"rate": "1000/s", "burst": 1000}, store=store, close_after=0)
    ann = process.connect()
    passed: list[int] = []
    threads = [
        threading.Thread(target=lambda: passed.append(process.passed(ann, 200))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(passed) == 1000
    assert sum(store.writes) == 1000


def test_what_did_not_pass_is_given_back_to_its_own_slice(
    start: Start, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of another would have more than a slice, and a process let pass more than is said."""
    store = CountingStore(clock)
    limits = BUCKET, {"rate": "5/min", "actions": ["report.*"]}
    process = start(*limits, store=store, on_store_failure="refuse")
    ann = process.connect()
    assert process.passed(ann, 8) == 8, "a whole slice is at hand, and one of it has passed"
    count = store.count

    def slow(counts: Any) -> Any:
        """Have all that is at hand be taken, and in the meantime be over, and more be taken."""
        waiting.append(counts)
        if len(waiting) < SLICE - 1:
            process.send(ann, "report.make")
        else:
            monkeypatch.setattr(store, "count", count)
            clock.advance_s(HOLD_S)
            assert process.passed(ann, 8) == 8
        raise StoreError("it took too long")

    waiting: list[Any] = []
    monkeypatch.setattr(store, "count", slow)
    assert process.send(ann, "report.make")["code"] == "STORAGE_ERROR"
    assert process.passed(ann, 10) == SLICE - 1


def test_memory_is_bounded() -> None:
    table: Recent[int, list[int]] = Recent(list, most=100)
    mine = table[-1]
    for n in range(10_000):
        table[n].append(n)
        assert table[-1] is mine, "what is used is not forgotten"
        assert len(table) + len(table.old) <= 200
    assert table[9_999] == [9_999]
    assert table[0] == []
