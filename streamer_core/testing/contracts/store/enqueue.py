"""Taking requests in."""

import pytest

from streamer_core.errors import LimitReached, StoreError
from streamer_core.model.counter import Count
from streamer_core.model.ids import request_subject
from streamer_core.model.request import Status
from streamer_core.ports import Enqueued, Store
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import (
    DAY_MS,
    LEASE_MS,
    a_connection,
    a_request,
    an_error,
    race,
)
from streamer_core.testing.contracts.store.base import (
    StoreRules,
    claimed,
    claimed_next,
    completed,
    running,
    stored,
)


class EnqueueRules(StoreRules):
    """Rules about `enqueue`."""

    def test_a_new_request_is_created_and_kept(self, store: Store, clock: ManualClock) -> None:
        """It is PENDING, and `get` gives what `enqueue` gave."""
        request = a_request(clock)
        enqueued = store.enqueue(request)
        assert enqueued.created
        assert enqueued.request == request
        assert store.get(request.ref) == request

    def test_an_unknown_request_is_none(self, store: Store) -> None:
        """`get` gives None."""
        assert store.get("0" * 32) is None

    def test_a_repeat_is_not_stored(self, store: Store, clock: ManualClock) -> None:
        """The kept record comes back, whatever the repeat's action or digest."""
        first = store.enqueue(a_request(clock)).request
        clock.advance(5)
        again = store.enqueue(a_request(clock, action="other", digest="other", payload={}))
        assert not again.created
        assert again.request == first == store.get(first.ref)

    def test_a_repeat_gives_the_present_state(self, store: Store, clock: ManualClock) -> None:
        """Also of a request that runs, or has ended."""
        held = running(store)
        assert store.enqueue(a_request(clock)).request.status is Status.PROCESSING
        completed(store, held)
        again = store.enqueue(a_request(clock))
        assert not again.created
        assert again.request.outcome == {"result": "done"}
        assert claimed_next(store) is None, "it is not run twice"

    def test_ids_are_told_apart_by_tenant_and_user(self, store: Store, clock: ManualClock) -> None:
        """The same id of others is another request."""
        owners = [("t1", "u1"), ("t1", "u2"), ("t2", "u1")]
        requests = [a_request(clock, "same", tenant=t, user=u) for t, u in owners]
        assert all(store.enqueue(request).created for request in requests)

    @pytest.mark.usefixtures("rounds")
    def test_of_racing_repeats_exactly_one_is_created(
        self, store: Store, clock: ManualClock
    ) -> None:
        """All get the same record."""
        request = a_request(clock)
        results = race(6, lambda _: store.enqueue(request))
        enqueued = [result for result in results if isinstance(result, Enqueued)]
        assert len(enqueued) == 6
        assert [e.created for e in enqueued].count(True) == 1
        assert all(e.request == request for e in enqueued)

    def test_enqueued_as_claimed_it_is_held_already(self, store: Store, clock: ManualClock) -> None:
        """PROCESSING, attempt 1, fence 1, with its lease; nobody else can claim it."""
        lease_until = clock.now() + LEASE_MS
        given = store.enqueue(a_request(clock), worker="w-1", lease_until=lease_until).request
        assert (given.status, given.attempt, given.fence) == (Status.PROCESSING, 1, 1)
        assert (given.worker, given.lease_until) == ("w-1", lease_until)
        assert given.started_at == clock.now()
        assert stored(store, given.ref) == given
        assert claimed_next(store) is None
        assert list(store.due(clock.now() + 1)) == []
        completed(store, given)

    def test_a_repeat_is_not_claimed(self, store: Store, clock: ManualClock) -> None:
        """With a worker given too, the kept record stays as it is."""
        first = store.enqueue(a_request(clock)).request
        again = store.enqueue(a_request(clock), worker="w-1", lease_until=clock.now() + 1)
        assert not again.created
        assert again.request == first == stored(store, first.ref)

    def test_counts_are_taken_with_the_request(self, store: Store, clock: ManualClock) -> None:
        """One write: the levels rise when it is stored."""
        gauge = Count(key="open/acme", amount=1, limit=2)
        store.enqueue(a_request(clock), counts=[gauge])
        assert store.count([Count(key="open/acme", amount=0)]).levels == (1,)

    def test_a_full_counter_refuses_the_request(self, store: Store, clock: ManualClock) -> None:
        """LimitReached names the counter; neither the request nor any count is stored."""
        free = Count(key="free", amount=1)
        full = Count(key="full", amount=2, limit=2, refill_per_s=1)
        store.count([Count(key="full", amount=1)])
        with pytest.raises(LimitReached) as refused:
            store.enqueue(a_request(clock), counts=[free, full])
        assert refused.value.key == "full"
        assert refused.value.level == 1
        assert refused.value.retry_after_ms is not None
        assert 1000 <= refused.value.retry_after_ms <= 1010
        assert store.get(a_request(clock).ref) is None
        assert store.count([Count(key="free", amount=0)]).levels == (0,)
        assert claimed_next(store) is None

    def test_a_repeat_takes_no_counts(self, store: Store, clock: ManualClock) -> None:
        """And is not refused where they are full."""
        gauge = Count(key="open/acme", amount=1, limit=1)
        store.enqueue(a_request(clock), counts=[gauge])
        assert not store.enqueue(a_request(clock), counts=[gauge]).created
        assert store.count([Count(key="open/acme", amount=0)]).levels == (1,)

    def test_racing_requests_share_a_limit(self, store: Store, clock: ManualClock) -> None:
        """Exactly as many are let in as have room."""
        gauge = Count(key="open/acme", amount=1, limit=3)
        results = race(
            6, lambda number: store.enqueue(a_request(clock, f"r-{number}"), counts=[gauge])
        )
        refused = [result for result in results if isinstance(result, StoreError)]
        assert len(refused) == 3
        assert all(isinstance(error, LimitReached) for error in refused)
        assert store.count([Count(key="open/acme", amount=0)]).levels == (3,)

    def test_after_expiry_the_id_is_new_again(self, store: Store, clock: ManualClock) -> None:
        """Nothing of the expired request shows through."""
        held = running(store)
        store.put_connection(a_connection(clock, lives_ms=DAY_MS * 9))
        store.subscribe(request_subject(held.ref), "c-1", expires_at=clock.now() + DAY_MS * 9)
        completed(store, held)
        clock.advance(DAY_MS)
        again = store.enqueue(a_request(clock))
        assert again.created
        assert again.request == a_request(clock) == store.get(held.ref)
        assert list(store.updates(held.ref)) == []
        assert list(store.subscribers(request_subject(held.ref))) == []
        assert claimed(store, held.ref).attempt == 1
        completed(store, stored(store, held.ref))
        assert [update.seq for update in store.updates(held.ref)] == [1]

    def test_after_the_expiry_of_a_cancelled_one_the_id_is_new_again(
        self, store: Store, clock: ManualClock
    ) -> None:
        """As for one that ran."""
        ref = store.enqueue(a_request(clock)).request.ref
        store.cancel(ref, an_error(clock), expires_at=clock.now() + 1000)
        clock.advance(1000)
        assert store.enqueue(a_request(clock)).created
        assert claimed_next(store) is not None
