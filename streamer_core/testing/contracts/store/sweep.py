"""What the sweeper looks for."""

from streamer_core.model.message import Priority
from streamer_core.ports import Change, ChangeKind, Store
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import (
    DAY_MS,
    LEASE_MS,
    a_chunk,
    a_request,
    an_error,
    eventually,
)
from streamer_core.testing.contracts.store.base import (
    StoreRules,
    claimed,
    completed,
    running,
    stopped,
)


class SweepRules(StoreRules):
    """Rules about `due`, `lapsed`, `cancelling` and `unsent`."""

    def test_due_gives_what_waits_before_the_time(self, store: Store, clock: ManualClock) -> None:
        """Strictly before, as DUE changes with lane and due time."""
        due_at = clock.now() + 50
        request = a_request(clock, due_at=due_at, priority=Priority.HIGH)
        store.enqueue(request)
        assert list(store.due(due_at)) == []
        expected = Change(kind=ChangeKind.DUE, ref=request.ref, lane=Priority.HIGH, due_at=due_at)
        assert list(store.due(due_at + 1)) == [expected]

    def test_due_leaves_out_what_does_not_wait(self, store: Store, clock: ManualClock) -> None:
        """Running, ended and cancelled ones; one given back is in again."""
        completed(store, running(store, "done"))
        cancelled = store.enqueue(a_request(clock, "cancelled")).request
        store.cancel(cancelled.ref, an_error(clock), expires_at=clock.now() + DAY_MS)
        held = running(store, "running")
        clock.advance(1)
        assert list(store.due(clock.now())) == []
        store.requeue(held.ref, fence=held.fence, due_at=clock.now(), spend=True)
        assert [change.ref for change in store.due(clock.now() + 1)] == [held.ref]

    def test_due_is_bounded(self, store: Store, clock: ManualClock) -> None:
        """At most `limit`."""
        for number in range(5):
            store.enqueue(a_request(clock, f"r-{number}"))
        assert len(store.due(clock.now() + 1, limit=3)) == 3

    def test_lapsed_gives_those_whose_lease_is_over(self, store: Store, clock: ManualClock) -> None:
        """PROCESSING only, from `lease_until` on, with the fence to take them by."""
        held = running(store, "lapses")
        completed(store, running(store, "done"))
        clock.advance(LEASE_MS - 1)
        running(store, "fresh")
        assert list(store.lapsed()) == []
        clock.advance(1)
        assert list(store.lapsed()) == [held]
        store.requeue(held.ref, fence=held.fence, due_at=clock.now(), spend=True, lapsed=True)
        assert list(store.lapsed()) == []

    def test_lapsed_finds_one_enqueued_as_claimed(self, store: Store, clock: ManualClock) -> None:
        """A worker that died with a sync request is found like any other."""
        given = store.enqueue(a_request(clock), worker="w", lease_until=clock.now() + 10).request
        clock.advance(10)
        assert list(store.lapsed()) == [given]

    def test_lapsed_is_bounded(self, store: Store, clock: ManualClock) -> None:
        """At most `limit`."""
        for number in range(3):
            running(store, f"r-{number}")
        clock.advance(LEASE_MS)
        assert len(store.lapsed(limit=2)) == 2

    def test_cancelling_gives_those_that_do_not_stop(
        self, store: Store, clock: ManualClock
    ) -> None:
        """PROCESSING and asked strictly before the time."""
        held = running(store)
        running(store, "not asked")
        asked_at = clock.now()
        store.cancel(held.ref, an_error(clock), expires_at=DAY_MS)
        clock.advance(100)
        assert list(store.cancelling(asked_at)) == []
        assert [request.ref for request in store.cancelling(asked_at + 1)] == [held.ref]
        stopped(store, held)
        assert list(store.cancelling(clock.now())) == []

    def test_cancelling_is_bounded(self, store: Store, clock: ManualClock) -> None:
        """At most `limit`."""
        for number in range(3):
            held = running(store, f"r-{number}")
            store.cancel(held.ref, an_error(clock), expires_at=DAY_MS)
        assert len(store.cancelling(clock.now() + 1, limit=2)) == 2

    def test_unsent_gives_those_with_updates_unsent(self, store: Store, clock: ManualClock) -> None:
        """Whose last update was stored strictly before the time."""
        held = running(store)
        running(store, "nothing to send")
        assert list(store.unsent(clock.now() + 1)) == []
        store.append(held.ref, [a_chunk(clock)] * 2, fence=held.fence)
        assert list(store.unsent(clock.now())) == []
        (found,) = store.unsent(clock.now() + 1)
        assert (found.ref, found.sent_seq, found.last_seq) == (held.ref, 0, 2)
        first = clock.now()
        clock.advance(10)
        store.append(held.ref, [a_chunk(clock)], fence=held.fence)
        assert list(store.unsent(first + 1)) == [], "its last update is newer"

    def test_unsent_forgets_what_was_sent(self, store: Store, clock: ManualClock) -> None:
        """Once all is marked; not while some is."""
        held = running(store)
        store.append(held.ref, [a_chunk(clock)] * 2, fence=held.fence)
        clock.advance(1)
        store.mark_sent(held.ref, 1)
        assert [request.ref for request in store.unsent(clock.now())] == [held.ref]
        store.mark_sent(held.ref, 2)
        assert eventually(lambda: list(store.unsent(clock.now())) == [])

    def test_unsent_gives_ended_requests_too(self, store: Store, clock: ManualClock) -> None:
        """Their terminal message must arrive; cancelled while waiting included."""
        held = running(store, "done")
        completed(store, held)
        ref = store.enqueue(a_request(clock, "cancelled")).request.ref
        store.cancel(ref, an_error(clock), expires_at=clock.now() + DAY_MS)
        clock.advance(1)
        assert {request.ref for request in store.unsent(clock.now())} == {held.ref, ref}
        store.mark_sent(held.ref, 1)
        store.mark_sent(ref, 1)
        assert eventually(lambda: list(store.unsent(clock.now())) == [])

    def test_unsent_is_bounded(self, store: Store, clock: ManualClock) -> None:
        """At most `limit`."""
        for number in range(3):
            held = running(store, f"r-{number}")
            store.append(held.ref, [a_chunk(clock)], fence=held.fence)
        assert len(store.unsent(clock.now() + 1, limit=2)) == 2

    def test_a_swept_request_runs_again(self, store: Store, clock: ManualClock) -> None:
        """From lapsed to the next attempt, with nothing lost."""
        held = running(store)
        store.append(held.ref, [a_chunk(clock)], fence=held.fence, checkpoint="here")
        clock.advance(LEASE_MS)
        (lapsed,) = store.lapsed()
        store.requeue(lapsed.ref, fence=lapsed.fence, due_at=clock.now(), spend=True, lapsed=True)
        again = claimed(store, held.ref, worker="w-2")
        assert (again.attempt, again.fence, again.checkpoint) == (2, 2, "here")
        completed(store, again)
        assert [update.seq for update in store.updates(held.ref)] == [1, 2]
