"""What happens while the store fails."""

from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamer_core.errors import StorageFailed, Throttled
from streamer_core.testing import ManualClock, MemoryStore

Start = Callable[..., Any]


class BrokenStore(MemoryStore):
    """Fails while it is broken, after a while, and keeps how often it was asked to count."""

    clock: ManualClock

    broken = True
    asked = 0
    patience_s = 0

    def count(self, counts: Any) -> Any:
        self.asked += 1
        if self.broken:
            self.clock.advance_s(self.patience_s)
            raise Throttled("not now")
        return super().count(counts)


@pytest.fixture
def store(clock: ManualClock) -> BrokenStore:
    return BrokenStore(clock)


def test_what_cannot_be_counted_passes(start: Start, store: BrokenStore) -> None:
    process = start({"rate": "1/d"}, {"rate": "1/d", "of": "connect"}, store=store)
    with capture_logs() as lines:
        ann = process.connect()
        assert process.passed(ann, 5) == 5
    assert [line["event"] for line in lines] == ["limits could not be counted"]
    assert process.measured.named("ratelimit.uncounted")[-1] == {"limit": "limit-0"}


def test_or_is_refused(start: Start, store: BrokenStore) -> None:
    process = start(
        {"rate": "1/d"},
        {"rate": "1/d", "of": "connect", "by": ["address"]},
        store=store,
        on_store_failure="refuse",
    )
    with pytest.raises(StorageFailed):
        process.connect()
    store.broken = False
    process = start({"rate": "1/d"}, store=store, on_store_failure="refuse")
    ann = process.connect()
    store.broken = True
    refusal = process.send(ann)
    assert refusal["code"] == "STORAGE_ERROR"
    assert refusal["retry"] == {"retryable": True}


def test_a_store_that_fails_is_not_asked_each_time(
    start: Start, store: BrokenStore, clock: ManualClock
) -> None:
    store.patience_s = 10
    process = start({"rate": "1/d"}, store=store)
    ann = process.connect()
    assert process.passed(ann, 20) == 20
    assert store.asked == 1
    clock.advance(1000)
    assert process.send(ann) is None
    assert store.asked == 2
    store.broken = False
    assert process.passed(ann, 5) == 5
    clock.advance(1000)
    assert process.passed(ann, 5) == 1, "it counts again"


def test_refused_for_the_store_nothing_is_taken_of_other_limits(
    start: Start, store: BrokenStore
) -> None:
    store.broken = False
    process = start(
        {"rate": "40/s", "by": ["tenant"]},
        {"rate": "1/d", "actions": ["report.make"]},
        store=store,
        on_store_failure="refuse",
    )
    ann = process.connect()
    assert process.passed(ann, 8) == 8
    store.broken = True
    assert process.passed(ann, 5, "report.make") == 0
    assert process.passed(ann, 9) == 4, "what is at hand"


def health(process: Any) -> list[tuple[str, str]]:
    return [(one.name, one.status) for one in process.app.hooks.hook.streamer_health()]


def test_health_says_whether_the_store_counts(
    start: Start, store: BrokenStore, clock: ManualClock
) -> None:
    process = start({"rate": "1/d"}, store=store)
    assert health(process) == [("limits", "ok")]
    process.passed(process.connect(), 1)
    assert health(process) == [("limits", "degraded")]
    clock.advance_s(1)
    assert health(process) == [("limits", "ok")]


def test_without_a_limit_there_is_nothing_to_check(start: Start, store: BrokenStore) -> None:
    assert health(start(store=store)) == []
