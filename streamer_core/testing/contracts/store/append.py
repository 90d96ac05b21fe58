"""Holding a request: heartbeats, updates, progress and checkpoints."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from streamer_core.errors import LostLease
from streamer_core.model.encode import new_update
from streamer_core.model.request import Request, Status
from streamer_core.model.update import Kind
from streamer_core.ports import Store
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import (
    DAY_MS,
    LEASE_MS,
    a_chunk,
    a_snapshot,
    an_end,
    an_error,
    eventually,
)
from streamer_core.testing.contracts.store.base import (
    StoreRules,
    claimed,
    completed,
    running,
    stored,
)

HOLDERS_VERBS: dict[str, Callable[[Store, Request], object]] = {
    "heartbeat": lambda store, held: store.heartbeat(
        held.ref,
        fence=held.fence,
        lease_until=store.clock.now() + DAY_MS,
        progress=a_snapshot(99, 99, attempt=99),
    ),
    "append": lambda store, held: store.append(
        held.ref, [a_chunk(store.clock)], fence=held.fence, checkpoint="stolen"
    ),
    "finish": lambda store, held: store.finish(
        held.ref,
        Status.FAILED,
        [an_error(store.clock)],
        fence=held.fence,
        expires_at=store.clock.now() + DAY_MS,
    ),
    "requeue": lambda store, held: store.requeue(
        held.ref, fence=held.fence, due_at=0, spend=True, checkpoint="stolen"
    ),
}


class AppendRules(StoreRules):
    """Rules about `heartbeat`, `append`, `updates` and `mark_sent`."""

    def test_updates_are_numbered_from_one(self, store: Store, clock: ManualClock) -> None:
        """Without a gap over several appends, in order."""
        held = running(store)
        first = store.append(held.ref, [a_chunk(clock, n) for n in range(3)], fence=held.fence)
        second = store.append(held.ref, [a_chunk(clock, 3)], fence=held.fence)
        assert (first.last_seq, second.last_seq) == (3, 4)
        kept = store.updates(held.ref)
        assert [(u.seq, u.body["data"]) for u in kept] == [(1, 0), (2, 1), (3, 2), (4, 3)]
        assert stored(store, held.ref).last_seq == 4

    def test_an_update_is_given_back_as_it_was_stored(
        self, store: Store, clock: ManualClock
    ) -> None:
        """Kind, attempt, body and time."""
        held = running(store)
        body = {"keep_through_seq": 0}
        restart = new_update(Kind.RESTART, 7, body, clock.now() - 3)
        store.append(held.ref, [restart], fence=held.fence)
        (kept,) = store.updates(held.ref)
        assert (kept.kind, kept.attempt, kept.body) == (Kind.RESTART, 7, body)
        assert kept.at == clock.now() - 3

    def test_updates_are_paged(self, store: Store, clock: ManualClock) -> None:
        """`after` leaves out, `limit` bounds, and the pages together are everything."""
        held = running(store)
        store.append(held.ref, [a_chunk(clock, n) for n in range(250)], fence=held.fence)
        assert len(store.updates(held.ref)) == 200
        assert [u.seq for u in store.updates(held.ref, after=248)] == [249, 250]
        assert [u.seq for u in store.updates(held.ref, after=10, limit=2)] == [11, 12]
        assert list(store.updates(held.ref, after=250)) == []

    def test_an_unknown_request_has_no_updates(self, store: Store) -> None:
        """An empty list, no error."""
        assert list(store.updates("0" * 32)) == []

    def test_a_checkpoint_stands_behind_the_last_update(
        self, store: Store, clock: ManualClock
    ) -> None:
        """`checkpoint_seq` becomes the last of them, also where none is new."""
        held = running(store)
        store.append(held.ref, [a_chunk(clock)] * 3, fence=held.fence, checkpoint={"page": 1})
        kept = stored(store, held.ref)
        assert (kept.checkpoint, kept.checkpoint_seq) == ({"page": 1}, 3)
        store.append(held.ref, [a_chunk(clock)], fence=held.fence)
        kept = stored(store, held.ref)
        assert (kept.checkpoint, kept.checkpoint_seq) == ({"page": 1}, 3)
        store.append(held.ref, [], fence=held.fence, checkpoint={"page": 2})
        kept = stored(store, held.ref)
        assert (kept.checkpoint, kept.checkpoint_seq) == ({"page": 2}, 4)

    def test_a_checkpoint_may_be_none(self, store: Store, clock: ManualClock) -> None:
        """None is a state like any other; `unchanged` is what leaves it."""
        held = running(store)
        store.append(held.ref, [], fence=held.fence, checkpoint={"page": 1})
        store.append(held.ref, [], fence=held.fence, checkpoint=store.unchanged)
        assert stored(store, held.ref).checkpoint == {"page": 1}
        store.append(held.ref, [a_chunk(clock)], fence=held.fence, checkpoint=None)
        kept = stored(store, held.ref)
        assert (kept.checkpoint, kept.checkpoint_seq) == (None, 1)

    def test_the_newest_progress_is_kept(self, store: Store, clock: ManualClock) -> None:
        """By attempt, then `n`; what comes late does not replace it."""
        held = running(store)
        newest, late = a_snapshot(50, 2), a_snapshot(10, 1)
        store.append(held.ref, [], fence=held.fence, progress=newest)
        assert stored(store, held.ref).progress == newest
        store.heartbeat(held.ref, fence=held.fence, lease_until=clock.now(), progress=late)
        assert stored(store, held.ref).progress == newest
        next_attempt = a_snapshot(0, 1, attempt=2)
        store.heartbeat(held.ref, fence=held.fence, lease_until=clock.now(), progress=next_attempt)
        assert stored(store, held.ref).progress == next_attempt
        store.append(held.ref, [a_chunk(clock)], fence=held.fence)
        assert stored(store, held.ref).progress == next_attempt

    def test_a_heartbeat_extends_the_lease(self, store: Store, clock: ManualClock) -> None:
        """The request does not lapse before the new end."""
        held = running(store)
        clock.advance(LEASE_MS - 1)
        lease_until = clock.now() + LEASE_MS
        answer = store.heartbeat(held.ref, fence=held.fence, lease_until=lease_until)
        assert (answer.last_seq, answer.cancel_requested) == (0, False)
        clock.advance(LEASE_MS - 1)
        assert list(store.lapsed()) == []
        assert stored(store, held.ref).lease_until == lease_until

    def test_a_lease_that_is_over_is_held_until_it_is_taken(
        self, store: Store, clock: ManualClock
    ) -> None:
        """Only the fence decides: a slow holder that nobody replaced goes on."""
        held = running(store)
        clock.advance(LEASE_MS * 2)
        assert store.append(held.ref, [a_chunk(clock)], fence=held.fence).last_seq == 1
        completed(store, held)

    def test_a_holder_learns_that_it_should_stop(self, store: Store, clock: ManualClock) -> None:
        """From `heartbeat` and `append` alike."""
        held = running(store)
        store.cancel(held.ref, an_error(clock), expires_at=clock.now() + DAY_MS)
        later = clock.now() + LEASE_MS
        assert store.heartbeat(held.ref, fence=held.fence, lease_until=later).cancel_requested
        assert store.append(held.ref, [a_chunk(clock)], fence=held.fence).cancel_requested

    @pytest.mark.parametrize("name", HOLDERS_VERBS)
    def test_an_old_fence_changes_nothing(
        self, store: Store, clock: ManualClock, name: str
    ) -> None:
        """LostLease, while somebody else holds the request."""
        old = running(store)
        store.requeue(old.ref, fence=old.fence, due_at=clock.now(), spend=True)
        claimed(store, old.ref, worker="w-2")
        self._refused(store, old, name)

    @pytest.mark.parametrize("name", HOLDERS_VERBS)
    def test_a_fence_of_the_future_changes_nothing(self, store: Store, name: str) -> None:
        """LostLease: only the present one holds."""
        held = running(store)
        self._refused(store, replace(held, fence=held.fence + 1), name)

    @pytest.mark.parametrize("name", HOLDERS_VERBS)
    def test_who_gave_it_back_holds_it_no_more(
        self, store: Store, clock: ManualClock, name: str
    ) -> None:
        """LostLease where it waits, though the fence is still the same."""
        held = running(store)
        store.requeue(held.ref, fence=held.fence, due_at=clock.now(), spend=False)
        self._refused(store, held, name)

    @pytest.mark.parametrize("name", HOLDERS_VERBS)
    def test_who_ended_it_holds_it_no_more(self, store: Store, name: str) -> None:
        """LostLease where it is terminal."""
        held = running(store)
        completed(store, held)
        self._refused(store, held, name)

    @pytest.mark.parametrize("name", HOLDERS_VERBS)
    def test_what_is_not_there_is_not_held(
        self, store: Store, clock: ManualClock, name: str
    ) -> None:
        """LostLease for a request that never was, or has expired."""
        held = running(store)
        with pytest.raises(LostLease):
            HOLDERS_VERBS[name](store, replace(held, ref="0" * 32))
        completed(store, held)
        clock.advance(DAY_MS)
        with pytest.raises(LostLease):
            HOLDERS_VERBS[name](store, held)

    def test_an_append_cannot_end_a_request(self, store: Store, clock: ManualClock) -> None:
        """A terminal update is refused; only `finish` and `cancel` store one."""
        held = running(store)
        with pytest.raises(ValueError, match="terminal"):
            store.append(held.ref, [a_chunk(clock), an_end(clock)], fence=held.fence)
        assert stored(store, held.ref) == held
        assert list(store.updates(held.ref)) == []

    def test_what_was_sent_never_falls(self, store: Store, clock: ManualClock) -> None:
        """`mark_sent` with a smaller number is no error and changes nothing."""
        held = running(store)
        store.append(held.ref, [a_chunk(clock)] * 3, fence=held.fence)
        for seq in (2, 1, 3, 2):
            store.mark_sent(held.ref, seq)
        assert eventually(lambda: stored(store, held.ref).sent_seq == 3)
        store.mark_sent(held.ref, 1)
        completed(store, held)
        assert stored(store, held.ref).sent_seq == 3

    def test_marking_what_is_not_there_is_no_error(self, store: Store) -> None:
        """The request may have been purged meanwhile."""
        store.mark_sent("0" * 32, 5)

    def _refused(self, store: Store, held: Request, name: str) -> None:
        before, updates = stored(store, held.ref), store.updates(held.ref)
        with pytest.raises(LostLease):
            HOLDERS_VERBS[name](store, held)
        assert stored(store, held.ref) == before
        assert list(store.updates(held.ref)) == list(updates)
