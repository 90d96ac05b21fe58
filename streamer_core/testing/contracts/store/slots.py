"""Concurrency slots: never over the limit, never forgotten."""

import pytest

from streamer_core.errors import LostLease
from streamer_core.model.policy import Slot
from streamer_core.model.request import Request
from streamer_core.ports import ChangeKind, Store
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import (
    DAY_MS,
    LEASE_MS,
    PATIENCE_S,
    a_request,
    an_error,
    race,
)
from streamer_core.testing.contracts.store.base import (
    StoreRules,
    claimed,
    claimed_next,
    completed,
    stored,
)

ONE = Slot(key="one", at_most=1)
TWO = Slot(key="two", at_most=2)
OTHER = Slot(key="other", at_most=1)


class SlotRules(StoreRules):
    """Rules about the slots that a claim takes."""

    def test_no_more_run_than_have_room(self, store: Store, clock: ManualClock) -> None:
        """By either verb; requests without that slot go on."""
        refs = [_put(store, f"r-{number}", TWO) for number in range(3)]
        claimed(store, refs[0])
        assert claimed_next(store) is not None
        assert store.claim(refs[2], worker="w", lease_until=clock.now() + 1) is None
        assert claimed_next(store) is None
        free = _put(store, "free")
        assert claimed(store, free).ref == free

    def test_one_set_aside_holds_up_nobody(self, store: Store, clock: ManualClock) -> None:
        """Neither its tenant nor its lane, though it was due first."""
        claimed(store, _put(store, "holder", ONE))
        clock.advance(1)
        blocked = [_put(store, f"blocked-{number}", ONE) for number in range(5)]
        clock.advance(1)
        free = _put(store, "free")
        request = claimed_next(store)
        assert request is not None
        assert request.ref == free
        assert store.claim(blocked[0], worker="w", lease_until=clock.now() + 1) is None

    def test_due_leaves_out_those_set_aside(self, store: Store, clock: ManualClock) -> None:
        """Until their slot is let go."""
        held = claimed(store, _put(store, "holder", ONE))
        waiting = _put(store, "waiting", ONE)
        clock.advance(1)
        assert [change.ref for change in store.due(clock.now())] == [waiting]
        assert claimed_next(store) is None
        assert list(store.due(clock.now())) == []
        completed(store, held)
        assert [change.ref for change in store.due(clock.now())] == [waiting]

    @pytest.mark.parametrize("way", ["finish", "requeue", "finish lapsed", "requeue lapsed"])
    def test_letting_go_wakes_one_set_aside(
        self, store: Store, clock: ManualClock, way: str
    ) -> None:
        """A DUE change is fed for it, and it may be claimed."""
        held = claimed(store, _put(store, "holder", ONE))
        waiting = _put(store, "waiting", ONE)
        assert claimed_next(store) is None
        feed = store.open_feed()
        clock.advance(LEASE_MS)
        _let_go(store, held, way)
        fed = [change.ref for change in feed.get(PATIENCE_S) if change.kind is ChangeKind.DUE]
        feed.close()
        assert waiting in fed
        assert claimed(store, waiting).ref == waiting

    def test_a_lease_that_is_over_still_holds_its_slots(
        self, store: Store, clock: ManualClock
    ) -> None:
        """Its worker may be alive; the sweeper takes the slot away with the lease."""
        claimed(store, _put(store, "holder", ONE))
        waiting = _put(store, "waiting", ONE)
        clock.advance(LEASE_MS + 1)
        assert store.claim(waiting, worker="w", lease_until=clock.now() + 1) is None

    def test_all_slots_or_none_are_taken(self, store: Store, clock: ManualClock) -> None:
        """A request that lacks one of its slots takes none of the others."""
        holder = claimed(store, _put(store, "holder", OTHER))
        both = _put(store, "both", ONE, OTHER)
        assert store.claim(both, worker="w", lease_until=clock.now() + 1) is None
        single = claimed(store, _put(store, "single", ONE))
        completed(store, holder)
        assert store.claim(both, worker="w", lease_until=clock.now() + 1) is None
        completed(store, single)
        assert claimed(store, both).ref == both

    def test_one_that_waits_for_two_slots_is_woken_by_the_last(self, store: Store) -> None:
        """In whichever order they are let go."""
        for first, second in ((ONE, OTHER), (OTHER, ONE)):
            holders = [claimed(store, _put(store, f"{s.key} {first.key}", s)) for s in (ONE, OTHER)]
            both = _put(store, f"both {first.key}", ONE, OTHER)
            assert claimed_next(store) is None
            order = holders if first is ONE else holders[::-1]
            completed(store, order[0])
            assert claimed_next(store) is None, f"{second.key} is still held"
            completed(store, order[1])
            request = claimed_next(store)
            assert request is not None
            assert request.ref == both
            completed(store, request)

    def test_a_woken_one_that_is_cancelled_passes_its_turn_on(
        self, store: Store, clock: ManualClock
    ) -> None:
        """Room is never left unused while somebody waits for it."""
        held = claimed(store, _put(store, "holder", ONE))
        waiting = [_put(store, f"waiting-{number}", ONE) for number in range(3)]
        assert claimed_next(store) is None
        completed(store, held)
        for ref in waiting[:2]:
            store.cancel(ref, an_error(clock), expires_at=clock.now() + DAY_MS)
        request = claimed_next(store)
        assert request is not None
        assert request.ref == waiting[2]

    def test_a_woken_one_that_waits_for_another_slot_passes_its_turn_on(
        self, store: Store, clock: ManualClock
    ) -> None:
        """The next that was set aside for the free slot gets it."""
        claimed(store, _put(store, "holder of other", OTHER))
        held = claimed(store, _put(store, "holder", ONE))
        _put(store, "both", ONE, OTHER)
        clock.advance(1)
        single = _put(store, "single", ONE)
        assert claimed_next(store) is None
        completed(store, held)
        request = claimed_next(store)
        assert request is not None
        assert request.ref == single

    def test_all_set_aside_are_served_in_the_end(self, store: Store, clock: ManualClock) -> None:
        """One after the other, each once."""
        names = [f"r-{number}" for number in range(8)]
        for name in names:
            _put(store, name, ONE, Slot(key=f"own {name}", at_most=1))
        served = []
        while request := claimed_next(store):
            assert claimed_next(store) is None
            served.append(request.id)
            completed(store, request)
            clock.advance(1)
        assert sorted(served) == names

    def test_a_request_requeued_takes_its_slot_anew(self, store: Store, clock: ManualClock) -> None:
        """Waiting, it holds none; another may have it first."""
        held = claimed(store, _put(store, "first", ONE))
        store.requeue(held.ref, fence=held.fence, due_at=clock.now(), spend=False)
        other = claimed(store, _put(store, "second", ONE))
        assert store.claim(held.ref, worker="w", lease_until=clock.now() + 1) is None
        completed(store, other)
        assert claimed(store, held.ref).fence == 2

    def test_cancelling_one_set_aside_frees_nothing(self, store: Store, clock: ManualClock) -> None:
        """It held no slot; the holder still does."""
        claimed(store, _put(store, "holder", ONE))
        waiting = [_put(store, f"waiting-{number}", ONE) for number in range(2)]
        assert claimed_next(store) is None
        store.cancel(waiting[0], an_error(clock), expires_at=clock.now() + DAY_MS)
        assert claimed_next(store) is None
        assert store.claim(waiting[1], worker="w", lease_until=clock.now() + 1) is None

    def test_enqueued_as_claimed_it_holds_slots_beyond_their_limit(
        self, store: Store, clock: ManualClock
    ) -> None:
        """A sync request is never set aside, but those after it wait for it."""
        first = claimed(store, _put(store, "holder", ONE))
        second = a_request(clock, "born", slots=(ONE,))
        born = store.enqueue(second, worker="w", lease_until=clock.now() + LEASE_MS).request
        waiting = _put(store, "waiting", ONE)
        completed(store, first)
        assert store.claim(waiting, worker="w", lease_until=clock.now() + 1) is None
        completed(store, born)
        assert claimed(store, waiting).ref == waiting

    def test_a_holder_that_lost_its_lease_frees_nothing_again(
        self, store: Store, clock: ManualClock
    ) -> None:
        """A slot is let go once, by whoever ended that holding."""
        held = claimed(store, _put(store, "holder", ONE))
        clock.advance(LEASE_MS)
        _let_go(store, held, "requeue lapsed")
        claimed(store, _put(store, "next", ONE))
        for way in ("finish", "requeue"):
            with pytest.raises(LostLease):
                _let_go(store, held, way)
        waiting = _put(store, "waiting", ONE)
        assert store.claim(waiting, worker="w", lease_until=clock.now() + 1) is None

    def test_racing_claims_never_exceed_the_limit(self, store: Store, clock: ManualClock) -> None:
        """Of six that share two places, two run."""
        refs = [_put(store, f"r-{number}", TWO) for number in range(6)]
        lease_until = clock.now() + LEASE_MS
        results = race(
            6, lambda number: store.claim(refs[number], worker="w", lease_until=lease_until)
        )
        assert len([r for r in results if isinstance(r, Request)]) == 2
        assert claimed_next(store) is None


def _put(store: Store, name: str, *slots: Slot) -> str:
    request = a_request(store.clock, name, slots=slots)
    store.enqueue(request)
    return request.ref


def _let_go(store: Store, held: Request, way: str) -> None:
    lapsed = way.endswith("lapsed")
    if way.startswith("finish"):
        completed(store, held, lapsed=lapsed)
    else:
        later = store.clock.now() + DAY_MS
        store.requeue(held.ref, fence=held.fence, due_at=later, spend=True, lapsed=lapsed)
    assert stored(store, held.ref).lease_until is None
