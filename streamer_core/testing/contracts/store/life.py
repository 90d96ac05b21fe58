"""A store's own life: check, close, open again, and several handles at once."""

import pytest

from streamer_core.model.counter import Count
from streamer_core.model.ids import request_subject
from streamer_core.model.policy import Slot
from streamer_core.model.request import Request
from streamer_core.ports import Store
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import (
    DAY_MS,
    LEASE_MS,
    PATIENCE_S,
    a_chunk,
    a_connection,
    a_request,
    race,
)
from streamer_core.testing.contracts.store.base import (
    OpenStore,
    StoreRules,
    claimed,
    claimed_next,
    completed,
    running,
    stored,
)

ONE = (Slot(key="one", at_most=1),)


class DurabilityRules(StoreRules):
    """Rules about close and open, for stores that declare `durable`."""

    @pytest.fixture(autouse=True)
    def _declared(self, request: pytest.FixtureRequest) -> None:
        in_this_class = request.function.__qualname__.startswith(DurabilityRules.__name__)
        if in_this_class and not self.durable:
            pytest.skip("the store does not declare durable")

    def test_everything_outlives_a_close(self, open_store: OpenStore, clock: ManualClock) -> None:
        """Requests, updates, connections, subscriptions, counters and values."""
        first = open_store(clock)
        first.put_connection(a_connection(clock))
        held = running(first, connection_id="c-1")
        first.append(held.ref, [a_chunk(clock)], fence=held.fence, checkpoint={"page": 1})
        first.count([Count(key="n", amount=3)])
        version = first.put_value("key", "kept")
        before = stored(first, held.ref)
        first.close()
        second = open_store(clock)
        assert stored(second, held.ref) == before
        assert [update.seq for update in second.updates(held.ref)] == [1]
        assert second.get_connection("c-1") == a_connection(clock)
        assert list(second.subscribers(request_subject(held.ref))) == ["c-1"]
        assert second.count([Count(key="n", amount=0)]).levels == (3,)
        value = second.get_value("key")
        assert value is not None
        assert (value.data, value.version) == ("kept", version)
        second.close()

    def test_work_goes_on_after_a_close(self, open_store: OpenStore, clock: ManualClock) -> None:
        """Holders keep their fence, slots stay taken, those set aside are still woken."""
        first = open_store(clock)
        held = running(first, "holder", slots=ONE)
        waiting = a_request(clock, "waiting", slots=ONE)
        first.enqueue(waiting)
        assert claimed_next(first) is None
        first.close()
        second = open_store(clock)
        assert claimed_next(second) is None
        completed(second, held)
        request = claimed_next(second)
        assert request is not None
        assert request.ref == waiting.ref
        second.close()

    def test_a_worker_that_died_is_found(self, open_store: OpenStore, clock: ManualClock) -> None:
        """Its lease outlives it and lapses."""
        first = open_store(clock)
        held = running(first)
        first.close()
        clock.advance(LEASE_MS)
        second = open_store(clock)
        assert [request.ref for request in second.lapsed()] == [held.ref]
        second.close()


class HandleRules(StoreRules):
    """Rules about the store's life, and about handles side by side (`multi_process`)."""

    @pytest.fixture
    def other(self, open_store: OpenStore, clock: ManualClock) -> Store:
        """Give a second handle on the data of `store`."""
        if not self.multi_process:
            pytest.skip("the store does not declare multi_process")
        return open_store(clock)

    def test_an_open_store_passes_its_check(self, store: Store) -> None:
        """A round trip without an error."""
        store.check()

    def test_handles_see_each_others_writes(
        self, store: Store, other: Store, clock: ManualClock
    ) -> None:
        """As soon as they have returned."""
        held = running(store)
        assert stored(other, held.ref) == held
        other.append(held.ref, [a_chunk(clock)], fence=held.fence)
        assert len(store.updates(held.ref)) == 1
        store.put_value("key", 1)
        assert other.get_value("key") == store.get_value("key")
        other.close()

    def test_handles_share_slots(self, store: Store, other: Store, clock: ManualClock) -> None:
        """One handle's holder keeps out the other's, and its end wakes it."""
        held = running(store, "holder", slots=ONE)
        waiting = a_request(clock, "waiting", slots=ONE)
        other.enqueue(waiting)
        assert claimed_next(other) is None
        feed = other.open_feed()
        completed(store, held)
        assert {change.ref for change in feed.get(PATIENCE_S)} == {waiting.ref}
        assert claimed(other, waiting.ref).ref == waiting.ref
        feed.close()
        other.close()

    def test_a_feed_hears_other_handles(
        self, store: Store, other: Store, clock: ManualClock
    ) -> None:
        """Changes committed by any process."""
        feed = store.open_feed()
        request = a_request(clock)
        other.enqueue(request)
        assert {change.ref for change in feed.get(PATIENCE_S)} == {request.ref}
        feed.close()
        other.close()

    def test_racing_handles_claim_each_request_once(
        self, store: Store, other: Store, clock: ManualClock
    ) -> None:
        """As threads of one handle do."""
        for number in range(10):
            store.enqueue(a_request(clock, f"r-{number}", tenant=f"t{number % 3}"))
        handles = [store, other]

        def take_all(number: int) -> list[Request]:
            return [request for _ in range(10) if (request := claimed_next(handles[number % 2]))]

        taken = [r.id for found in race(4, take_all) if isinstance(found, list) for r in found]
        assert sorted(taken) == sorted(f"r-{number}" for number in range(10))
        other.close()

    def test_racing_handles_share_a_quota(self, store: Store, other: Store) -> None:
        """Exactly as many are accepted as fit."""
        count = Count(key="quota", amount=1, limit=5)
        handles = [store, other]

        def spend(number: int) -> int:
            return [handles[number % 2].count([count]).accepted for _ in range(3)].count(True)

        assert sum(r for r in race(4, spend) if isinstance(r, int)) == 5
        other.close()

    def test_closing_one_handle_leaves_the_other(
        self, store: Store, other: Store, clock: ManualClock
    ) -> None:
        """The data belongs to neither."""
        held = running(other)
        other.close()
        store.check()
        completed(store, held)
        expires_at = stored(store, held.ref).expires_at
        assert expires_at == clock.now() + DAY_MS
