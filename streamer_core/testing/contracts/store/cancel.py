"""Cancelling a request."""

import pytest

from streamer_core.model.request import Status
from streamer_core.model.update import NewUpdate, Update
from streamer_core.ports import Store
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import DAY_MS, a_chunk, a_request, an_error
from streamer_core.testing.contracts.store.base import (
    SETTLE,
    StoreRules,
    claimed,
    completed,
    levels_of,
    running,
    stored,
)


class CancelRules(StoreRules):
    """Rules about `cancel`."""

    @pytest.mark.parametrize("status", [Status.PENDING, Status.RETRYING])
    def test_a_waiting_request_ends_at_once(
        self, store: Store, clock: ManualClock, status: Status
    ) -> None:
        """With `terminal` as its last update, settled, due or not."""
        ref = _waiting(store, status)
        clock.advance(9)
        given = store.cancel(ref, an_error(clock), expires_at=clock.now() + DAY_MS)
        ended = stored(store, ref)
        assert given == ended
        assert (ended.status, ended.outcome) == (Status.CANCELLED, an_error(clock).body)
        assert (ended.finished_at, ended.expires_at) == (clock.now(), clock.now() + DAY_MS)
        (last,) = store.updates(ref)
        assert last == _as_stored(an_error(clock), 1)
        assert ended.last_seq == 1
        assert levels_of(store) == (0, 1)

    def test_a_running_request_is_flagged(self, store: Store, clock: ManualClock) -> None:
        """It goes on running, unsettled, and the first asking's time stays."""
        held = running(store, settle=SETTLE)
        asked_at = clock.advance(5)
        given = store.cancel(held.ref, an_error(clock), expires_at=clock.now() + DAY_MS)
        clock.advance(5)
        store.cancel(held.ref, an_error(clock), expires_at=clock.now() + DAY_MS)
        flagged = stored(store, held.ref)
        assert given == flagged
        assert (flagged.status, flagged.cancel_requested_at) == (Status.PROCESSING, asked_at)
        assert (flagged.fence, flagged.lease_until) == (held.fence, held.lease_until)
        assert flagged.expires_at is None
        assert list(store.updates(held.ref)) == []
        assert levels_of(store) == (0, 0)

    def test_a_flagged_request_may_still_complete(self, store: Store, clock: ManualClock) -> None:
        """The first terminal write wins, and it settles once."""
        held = running(store, settle=SETTLE)
        store.cancel(held.ref, an_error(clock), expires_at=DAY_MS)
        completed(store, held)
        assert stored(store, held.ref).status is Status.COMPLETED
        assert levels_of(store) == (0, 1)

    def test_an_ended_request_stays(self, store: Store, clock: ManualClock) -> None:
        """Its record is given as it is; cancelled twice it is settled once."""
        ref = _waiting(store, Status.PENDING)
        first = store.cancel(ref, an_error(clock), expires_at=clock.now() + DAY_MS)
        clock.advance(5)
        second = store.cancel(ref, an_error(clock), expires_at=clock.now() + DAY_MS * 2)
        assert first == second == stored(store, ref)
        assert len(store.updates(ref)) == 1
        assert levels_of(store) == (0, 1)

    def test_what_is_not_there_is_none(self, store: Store, clock: ManualClock) -> None:
        """Never stored, or expired."""
        assert store.cancel("0" * 32, an_error(clock), expires_at=DAY_MS) is None
        held = running(store)
        completed(store, held)
        clock.advance(DAY_MS)
        assert store.cancel(held.ref, an_error(clock), expires_at=DAY_MS) is None

    def test_a_cancelled_request_keeps_its_earlier_updates(
        self, store: Store, clock: ManualClock
    ) -> None:
        """The terminal one is numbered after them."""
        held = running(store)
        store.append(held.ref, [a_chunk(clock)] * 2, fence=held.fence)
        store.requeue(held.ref, fence=held.fence, due_at=clock.now(), spend=True)
        store.cancel(held.ref, an_error(clock), expires_at=clock.now() + DAY_MS)
        assert [update.seq for update in store.updates(held.ref)] == [1, 2, 3]


def _waiting(store: Store, status: Status) -> str:
    later = store.clock.now() + DAY_MS
    request = a_request(store.clock, settle=SETTLE)
    store.enqueue(request)
    if status is Status.RETRYING:
        held = claimed(store, request.ref)
        store.requeue(held.ref, fence=held.fence, due_at=later, spend=True)
    return request.ref


def _as_stored(update: NewUpdate, seq: int) -> Update:
    return Update(seq=seq, kind=update.kind, attempt=update.attempt, body=update.body, at=update.at)
