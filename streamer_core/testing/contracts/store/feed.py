"""The change feed: a hint that makes things prompt."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamer_core.model.message import Priority
from streamer_core.model.policy import Slot
from streamer_core.model.request import Status
from streamer_core.ports import Change, ChangeKind, Feed, Store
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import (
    DAY_MS,
    LEASE_MS,
    PATIENCE_S,
    a_request,
    an_error,
)
from streamer_core.testing.contracts.store.base import (
    StoreRules,
    claimed_next,
    completed,
    running,
)

NOTHING_S = 0.05


class FeedRules(StoreRules):
    """Rules about `open_feed`. Records may repeat, so only their set is compared."""

    @pytest.fixture
    def feed(self, store: Store) -> Iterator[Feed]:
        """Give a feed that is closed after the test."""
        feed = store.open_feed()
        yield feed
        feed.close()

    def test_enqueue_feeds_due(self, store: Store, clock: ManualClock, feed: Feed) -> None:
        """With lane and due time, also where that is far away."""
        due_at = clock.now() + DAY_MS
        request = a_request(clock, priority=Priority.LOW, due_at=due_at)
        store.enqueue(request)
        assert _fed(feed, 1) == {_due(request.ref, due_at, Priority.LOW)}

    def test_a_repeat_and_one_enqueued_as_claimed_feed_nothing(
        self, store: Store, clock: ManualClock, feed: Feed
    ) -> None:
        """Nobody has to be woken for them."""
        store.enqueue(a_request(clock), worker="w", lease_until=clock.now() + LEASE_MS)
        store.enqueue(a_request(clock))
        assert list(feed.get(NOTHING_S)) == []

    def test_requeue_feeds_due(self, store: Store, clock: ManualClock, feed: Feed) -> None:
        """With the new due time."""
        held = running(store)
        _fed(feed, 1)
        due_at = clock.now() + 700
        store.requeue(held.ref, fence=held.fence, due_at=due_at, spend=True)
        assert _fed(feed, 1) == {_due(held.ref, due_at)}

    def test_a_slot_let_go_feeds_due(self, store: Store, clock: ManualClock, feed: Feed) -> None:
        """For one that was set aside."""
        slots = (Slot(key="one", at_most=1),)
        held = running(store, "holder", slots=slots)
        waiting = a_request(clock, "waiting", slots=slots)
        store.enqueue(waiting)
        assert claimed_next(store) is None
        _fed(feed, 2)
        completed(store, held)
        assert _fed(feed, 1) == {_due(waiting.ref, waiting.due_at)}

    def test_a_holders_own_end_feeds_nothing(self, store: Store, feed: Feed) -> None:
        """It sends its terminal message itself."""
        held = running(store)
        _fed(feed, 1)
        completed(store, held)
        assert list(feed.get(NOTHING_S)) == []

    def test_a_cancel_that_ends_feeds_ended(
        self, store: Store, clock: ManualClock, feed: Feed
    ) -> None:
        """Once: asked again it changes nothing."""
        request = a_request(clock)
        store.enqueue(request)
        _fed(feed, 1)
        for _ in range(2):
            store.cancel(request.ref, an_error(clock), expires_at=clock.now() + DAY_MS)
        assert {(c.kind, c.ref) for c in _fed(feed, 1)} == {(ChangeKind.ENDED, request.ref)}

    def test_a_cancel_that_flags_feeds_nothing(
        self, store: Store, clock: ManualClock, feed: Feed
    ) -> None:
        """The holder learns of it by its heartbeat."""
        held = running(store)
        _fed(feed, 1)
        store.cancel(held.ref, an_error(clock), expires_at=clock.now() + DAY_MS)
        assert list(feed.get(NOTHING_S)) == []

    def test_a_lapsed_end_feeds_ended(self, store: Store, clock: ManualClock, feed: Feed) -> None:
        """Its holder is gone, so somebody else has to send."""
        held = running(store)
        _fed(feed, 1)
        clock.advance(LEASE_MS)
        store.finish(
            held.ref,
            Status.FAILED,
            [an_error(clock)],
            fence=held.fence,
            expires_at=clock.now() + DAY_MS,
            lapsed=True,
        )
        assert {(c.kind, c.ref) for c in _fed(feed, 1)} == {(ChangeKind.ENDED, held.ref)}

    def test_a_feed_begins_when_it_is_opened(self, store: Store, clock: ManualClock) -> None:
        """What was before is for the sweeper."""
        store.enqueue(a_request(clock, "before"))
        feed = store.open_feed()
        request = a_request(clock, "after")
        store.enqueue(request)
        assert {change.ref for change in _fed(feed, 1)} == {request.ref}
        feed.close()

    def test_every_feed_gets_every_change(
        self, store: Store, clock: ManualClock, feed: Feed
    ) -> None:
        """Two readers do not take from each other."""
        other = store.open_feed()
        refs = {store.enqueue(a_request(clock, f"r-{n}")).request.ref for n in range(3)}
        assert {change.ref for change in _fed(feed, 3)} == refs
        assert {change.ref for change in _fed(other, 3)} == refs
        other.close()

    def test_get_gives_up_after_its_time(self, feed: Feed) -> None:
        """Empty, and not much sooner."""
        begun = time.monotonic()
        assert list(feed.get(0.1)) == []
        assert time.monotonic() - begun >= 0.09

    def test_get_returns_with_a_change(self, store: Store, clock: ManualClock, feed: Feed) -> None:
        """While it waits, made by another thread."""
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(feed.get, PATIENCE_S * 2)
            threading.Event().wait(0.02)
            request = a_request(clock)
            store.enqueue(request)
            assert {change.ref for change in waiting.result(PATIENCE_S)} == {request.ref}

    def test_close_wakes_a_waiting_get(self, store: Store) -> None:
        """It returns empty, and so does every later one, at once."""
        feed = store.open_feed()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(feed.get, PATIENCE_S * 2)
            threading.Event().wait(0.02)
            feed.close()
            assert list(waiting.result(PATIENCE_S)) == []
        begun = time.monotonic()
        assert list(feed.get(PATIENCE_S)) == []
        assert time.monotonic() - begun < PATIENCE_S / 2
        feed.close()

    def test_what_is_refused_feeds_nothing(
        self, store: Store, clock: ManualClock, feed: Feed
    ) -> None:
        """Only what was committed is fed."""
        held = running(store)
        _fed(feed, 1)
        with pytest.raises(ValueError, match="terminal"):
            store.requeue(
                held.ref, fence=held.fence, due_at=0, spend=True, updates=[an_error(clock)]
            )
        assert list(feed.get(NOTHING_S)) == []


def _due(ref: str, due_at: int, lane: Priority = Priority.NORMAL) -> Change:
    return Change(kind=ChangeKind.DUE, ref=ref, lane=lane, due_at=due_at)


def _fed(feed: Feed, expected: int) -> set[Change]:
    changes: set[Change] = set()
    deadline = time.monotonic() + PATIENCE_S
    while len(changes) < expected and time.monotonic() < deadline:
        changes.update(feed.get(deadline - time.monotonic()))
    return changes
