"""Giving a request back."""

import pytest

from streamer_core.errors import Conflict, LostLease
from streamer_core.model.encode import new_update
from streamer_core.model.request import KEPT_TRACES, Status
from streamer_core.model.update import Kind
from streamer_core.ports import Store
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import (
    DAY_MS,
    LEASE_MS,
    a_chunk,
    a_failure,
    a_snapshot,
    an_end,
    an_error,
)
from streamer_core.testing.contracts.store.base import (
    StoreRules,
    claimed,
    running,
    stopped,
    stored,
)


class RequeueRules(StoreRules):
    """Rules about `requeue`."""

    @pytest.mark.parametrize(
        ("spend", "status", "spent"), [(True, Status.RETRYING, 1), (False, Status.PENDING, 0)]
    )
    def test_a_request_given_back_waits(
        self, store: Store, clock: ManualClock, spend: bool, status: Status, spent: int
    ) -> None:
        """RETRYING where an attempt is spent, else PENDING; nobody holds it."""
        held = running(store)
        due_at = clock.now() + 500
        store.requeue(held.ref, fence=held.fence, due_at=due_at, spend=spend)
        back = stored(store, held.ref)
        assert (back.status, back.spent, back.due_at) == (status, spent, due_at)
        assert (back.lease_until, back.worker, back.fence) == (None, None, held.fence)
        assert (back.expires_at, back.finished_at) == (None, None)
        assert store.claim(held.ref, worker="w", lease_until=due_at) is None
        clock.advance(500)
        claimed(store, held.ref)

    def test_a_spent_attempt_stays_spent(self, store: Store, clock: ManualClock) -> None:
        """PENDING where none is spent this time, whatever was before."""
        held = running(store)
        store.requeue(held.ref, fence=held.fence, due_at=clock.now(), spend=True)
        held = claimed(store, held.ref)
        store.requeue(held.ref, fence=held.fence, due_at=clock.now(), spend=False)
        back = stored(store, held.ref)
        assert (back.status, back.spent) == (Status.PENDING, 1)

    def test_it_writes_as_append_does(self, store: Store, clock: ManualClock) -> None:
        """Updates numbered, progress and checkpoint kept, in the same write."""
        held = running(store)
        store.append(held.ref, [a_chunk(clock)], fence=held.fence)
        restart = new_update(Kind.RESTART, 2, {"keep_through_seq": 1}, clock.now())
        answer = store.requeue(
            held.ref,
            fence=held.fence,
            due_at=clock.now(),
            spend=True,
            updates=[a_chunk(clock), restart],
            progress=a_snapshot(20, 2),
            checkpoint=["state"],
            failure=a_failure(),
        )
        back = stored(store, held.ref)
        assert answer.last_seq == back.last_seq == 3
        assert [update.seq for update in store.updates(held.ref)] == [1, 2, 3]
        assert (back.checkpoint, back.checkpoint_seq) == (["state"], 3)
        assert (back.progress, back.failures) == (a_snapshot(20, 2), (a_failure(),))

    def test_the_checkpoint_stays_unless_given(self, store: Store, clock: ManualClock) -> None:
        """The next attempt starts from the last one."""
        held = running(store)
        store.append(held.ref, [a_chunk(clock)], fence=held.fence, checkpoint={"page": 1})
        store.requeue(held.ref, fence=held.fence, due_at=clock.now(), spend=True)
        again = claimed(store, held.ref)
        assert (again.checkpoint, again.checkpoint_seq) == ({"page": 1}, 1)

    def test_each_failure_is_kept(self, store: Store, clock: ManualClock) -> None:
        """Of those that lie back, the stack falls off."""
        held = running(store)
        for attempt in range(1, KEPT_TRACES + 3):
            store.requeue(
                held.ref,
                fence=held.fence,
                due_at=clock.now(),
                spend=True,
                failure=a_failure(attempt),
            )
            held = claimed(store, held.ref)
        kept = stored(store, held.ref).failures
        assert [failure.attempt for failure in kept] == list(range(1, KEPT_TRACES + 3))
        assert [bool(failure.trace) for failure in kept] == [False] * 2 + [True] * KEPT_TRACES

    def test_giving_back_cannot_end(self, store: Store, clock: ManualClock) -> None:
        """A terminal update is refused and nothing is written."""
        held = running(store)
        with pytest.raises(ValueError, match="terminal"):
            store.requeue(held.ref, fence=held.fence, due_at=0, spend=True, updates=[an_end(clock)])
        assert stored(store, held.ref) == held

    def test_one_asked_to_stop_must_not_wait_again(self, store: Store, clock: ManualClock) -> None:
        """Conflict, and the holder still holds it, to finish it as CANCELLED."""
        held = running(store)
        flagged = store.cancel(held.ref, an_error(clock), expires_at=DAY_MS)
        with pytest.raises(Conflict):
            store.requeue(held.ref, fence=held.fence, due_at=clock.now(), spend=True)
        assert stored(store, held.ref) == flagged
        stopped(store, held)

    def test_a_lapsed_one_needs_a_lapsed_lease(self, store: Store, clock: ManualClock) -> None:
        """LostLease until the lease is over; then the old holder has lost it."""
        held = running(store)
        clock.advance(LEASE_MS - 1)
        with pytest.raises(LostLease):
            store.requeue(held.ref, fence=held.fence, due_at=0, spend=True, lapsed=True)
        assert stored(store, held.ref) == held
        clock.advance(1)
        store.requeue(held.ref, fence=held.fence, due_at=0, spend=True, lapsed=True)
        with pytest.raises(LostLease):
            store.heartbeat(held.ref, fence=held.fence, lease_until=clock.now() + LEASE_MS)
        assert claimed(store, held.ref).attempt == 2
