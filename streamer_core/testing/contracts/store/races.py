"""Of two that race, one wins and the other is told."""

import pytest

from streamer_core.errors import Conflict, LostLease, StoreError
from streamer_core.model.counter import Count
from streamer_core.model.request import Request, Status
from streamer_core.model.update import Kind
from streamer_core.ports import Held, Store
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import (
    DAY_MS,
    LEASE_MS,
    a_chunk,
    a_request,
    an_error,
    eventually,
    race,
)
from streamer_core.testing.contracts.store.base import (
    StoreRules,
    claimed_next,
    completed,
    running,
    stored,
)

rounds = pytest.mark.usefixtures("rounds")


class RaceRules(StoreRules):
    """Rules about threads that write at once."""

    @rounds
    def test_one_claim_wins(self, store: Store, clock: ManualClock) -> None:
        """By `claim`; the fence rises once."""
        request = a_request(clock)
        store.enqueue(request)
        claims = race(6, lambda worker: _claim(store, request.ref, worker))
        winners = [claim for claim in claims if claim is not None]
        assert len(winners) == 1
        assert stored(store, request.ref) == winners[0]

    def test_no_request_is_claimed_twice(self, store: Store, clock: ManualClock) -> None:
        """By `claim_next`, with more workers than requests."""
        for number in range(12):
            store.enqueue(a_request(clock, f"r-{number}", tenant=f"t{number % 3}"))

        def take_three(worker: int) -> list[Request]:
            found = [claimed_next(store, worker=f"w-{worker}") for _ in range(3)]
            return [request for request in found if request is not None]

        taken = [r.id for found in race(6, take_three) if isinstance(found, list) for r in found]
        assert sorted(taken) == sorted(f"r-{number}" for number in range(12))

    @rounds
    def test_one_end_wins(self, store: Store) -> None:
        """Of the same holder's threads; the others are told LostLease; it settles once."""
        held = running(store, settle=(Count(key="done", amount=1),))
        results = race(4, lambda _: completed(store, held))
        assert len([r for r in results if isinstance(r, Held)]) == 1
        assert len([r for r in results if isinstance(r, LostLease)]) == 3
        assert len(store.updates(held.ref)) == 1
        assert store.count([Count(key="done", amount=0)]).levels == (1,)

    @rounds
    def test_cancel_and_claim_cannot_both_win(self, store: Store, clock: ManualClock) -> None:
        """Cancelled first it is not claimed; claimed first it is flagged."""
        ref = store.enqueue(a_request(clock)).request.ref
        expires_at = clock.now() + DAY_MS

        def write(racer: int) -> Request | None:
            if racer == 0:
                return _claim(store, ref, 0)
            return store.cancel(ref, an_error(clock), expires_at=expires_at)

        claim, cancel = race(2, write)
        assert not isinstance(cancel, StoreError)
        kept = stored(store, ref)
        if claim is None:
            assert kept.status is Status.CANCELLED
        else:
            assert kept.status is Status.PROCESSING
            assert kept.cancel_requested_at is not None

    @rounds
    def test_the_sweeper_and_the_holder_cannot_both_win(
        self, store: Store, clock: ManualClock
    ) -> None:
        """Of a lapsed requeue and a finish, one is told LostLease."""
        held = running(store)
        clock.advance(LEASE_MS)

        def write(racer: int) -> Held:
            if racer == 0:
                return completed(store, held)
            return store.requeue(
                held.ref, fence=held.fence, due_at=clock.now(), spend=True, lapsed=True
            )

        results = race(2, write)
        assert len([r for r in results if isinstance(r, LostLease)]) == 1
        finished = isinstance(results[0], Held)
        expected = Status.COMPLETED if finished else Status.RETRYING
        assert stored(store, held.ref).status is expected

    def test_racing_appends_leave_no_gap(self, store: Store, clock: ManualClock) -> None:
        """Each gets numbers of its own, and one append's updates stay together."""
        held = running(store)

        def append(number: int) -> Held:
            pair = [a_chunk(clock, [number, part]) for part in range(2)]
            return store.append(held.ref, pair, fence=held.fence)

        results = race(6, append)
        assert sorted(r.last_seq for r in results if isinstance(r, Held)) == [2, 4, 6, 8, 10, 12]
        updates = store.updates(held.ref)
        assert [update.seq for update in updates] == list(range(1, 13))
        data = [update.body["data"] for update in updates]
        assert all(data[i] == [data[i][0], 0] for i in range(0, 12, 2))
        assert all(data[i + 1] == [data[i][0], 1] for i in range(0, 12, 2))

    @rounds
    def test_appends_and_the_end_cannot_cross(self, store: Store, clock: ManualClock) -> None:
        """Nothing is numbered after the terminal update."""
        held = running(store)

        def write(racer: int) -> Held:
            if racer == 0:
                return completed(store, held)
            return store.append(held.ref, [a_chunk(clock)], fence=held.fence)

        results = race(4, write)
        assert isinstance(results[0], Held)
        kinds = [update.kind for update in store.updates(held.ref)]
        assert kinds == [*[Kind.CHUNK] * (len(kinds) - 1), Kind.COMPLETE]
        assert stored(store, held.ref).last_seq == len(kinds)

    def test_racing_marks_keep_the_highest(self, store: Store, clock: ManualClock) -> None:
        """`sent_seq` ends where the greatest was."""
        held = running(store)
        store.append(held.ref, [a_chunk(clock)] * 6, fence=held.fence)
        race(6, lambda number: store.mark_sent(held.ref, number + 1))
        assert eventually(lambda: stored(store, held.ref).sent_seq == 6)

    def test_racing_counts_keep_the_limit(self, store: Store) -> None:
        """Exactly as many are accepted as fit."""
        count = Count(key="quota", amount=1, limit=10)

        def spend(_: int) -> int:
            return [store.count([count]).accepted for _ in range(4)].count(True)

        assert sum(r for r in race(6, spend) if isinstance(r, int)) == 10
        assert store.count([Count(key="quota", amount=0)]).levels == (10,)

    @rounds
    def test_racing_values_have_one_winner(self, store: Store) -> None:
        """Of conditional writes over one version; the losers are told Conflict."""
        before = store.put_value("key", "before")
        results = race(4, lambda number: store.put_value("key", number, version=before))
        winners = [number for number, result in enumerate(results) if isinstance(result, int)]
        assert len(winners) == 1
        assert len([r for r in results if isinstance(r, Conflict)]) == 3
        kept = store.get_value("key")
        assert kept is not None
        assert (kept.data, kept.version) == (winners[0], results[winners[0]])


def _claim(store: Store, ref: str, worker: int) -> Request | None:
    return store.claim(ref, worker=f"w-{worker}", lease_until=store.clock.now() + LEASE_MS)
