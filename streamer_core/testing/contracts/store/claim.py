"""Claiming: when it is allowed, and who comes first."""

from streamer_core.model.message import Priority
from streamer_core.model.policy import Slot
from streamer_core.model.request import Status
from streamer_core.ports import Store
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import DAY_MS, LEASE_MS, a_request, an_error
from streamer_core.testing.contracts.store.base import (
    LANES,
    StoreRules,
    claimed,
    claimed_next,
    completed,
    running,
    stored,
)

PAIR = Slot(key="pair", at_most=2)


class ClaimRules(StoreRules):
    """Rules about `claim` and `claim_next`."""

    def test_a_claim_sets_the_record(self, store: Store, clock: ManualClock) -> None:
        """Status, attempt, fence, lease, worker and the first start."""
        ref = store.enqueue(a_request(clock)).request.ref
        clock.advance(7)
        lease_until = clock.now() + LEASE_MS
        request = store.claim(ref, worker="w-1", lease_until=lease_until)
        assert request is not None
        assert (request.status, request.attempt, request.fence) == (Status.PROCESSING, 1, 1)
        assert (request.worker, request.lease_until) == ("w-1", lease_until)
        assert (request.started_at, request.spent) == (clock.now(), 0)
        assert request == stored(store, ref)

    def test_claim_next_sets_the_same(self, store: Store, clock: ManualClock) -> None:
        """It differs from `claim` only in choosing."""
        store.enqueue(a_request(clock))
        request = claimed_next(store)
        assert request is not None
        assert (request.status, request.attempt, request.fence) == (Status.PROCESSING, 1, 1)
        assert request == stored(store, request.ref)

    def test_claim_next_takes_several(self, store: Store, clock: ManualClock) -> None:
        """As many as asked for or there are, in the order in which one by one would take them."""
        for number in range(5):
            tenant = "t1" if number < 3 else "t2"
            store.enqueue(a_request(clock, f"r-{number}", tenant=tenant, slots=(PAIR,)))
            clock.advance(1)
        lease_until = clock.now() + LEASE_MS
        taken = store.claim_next(LANES, worker="w", lease_until=lease_until, at_most=1)
        taken = [*taken, *store.claim_next(LANES, worker="w", lease_until=lease_until, at_most=4)]
        assert [request.id for request in taken] == ["r-0", "r-3"], "fair, and two slots are all"
        for request in taken:
            assert request == stored(store, request.ref)
            completed(store, request)
        taken = store.claim_next(LANES, worker="w", lease_until=lease_until, at_most=4)
        assert [request.id for request in taken] == ["r-1", "r-4"]

    def test_what_is_not_there_cannot_be_claimed(self, store: Store, clock: ManualClock) -> None:
        """None for an unknown ref, and for an empty queue."""
        assert store.claim("0" * 32, worker="w", lease_until=clock.now() + 1) is None
        assert claimed_next(store) is None

    def test_what_is_not_due_cannot_be_claimed(self, store: Store, clock: ManualClock) -> None:
        """Until its due time has come, to the millisecond."""
        ref = store.enqueue(a_request(clock, due_at=clock.now() + 1000)).request.ref
        clock.advance(999)
        assert store.claim(ref, worker="w", lease_until=clock.now() + 1) is None
        assert claimed_next(store) is None
        clock.advance(1)
        assert claimed_next(store) is not None

    def test_what_does_not_wait_cannot_be_claimed(self, store: Store, clock: ManualClock) -> None:
        """Neither a running request, its lease over or not, nor an ended or cancelled one."""
        held = running(store)
        clock.advance(LEASE_MS + 1)
        assert store.claim(held.ref, worker="w", lease_until=clock.now() + 1) is None
        assert claimed_next(store) is None
        completed(store, held)
        assert store.claim(held.ref, worker="w", lease_until=clock.now() + 1) is None
        other = store.enqueue(a_request(clock, "r-2")).request.ref
        store.cancel(other, an_error(clock), expires_at=clock.now() + DAY_MS)
        assert store.claim(other, worker="w", lease_until=clock.now() + 1) is None
        assert claimed_next(store) is None

    def test_a_spent_attempt_is_counted(self, store: Store, clock: ManualClock) -> None:
        """`attempt = spent + 1`, the fence rises each time, the first start stays."""
        held = running(store)
        first_start = clock.now()
        for spend, attempt, fence in ((True, 2, 2), (False, 2, 3), (True, 3, 4)):
            clock.advance(10)
            store.requeue(held.ref, fence=held.fence, due_at=clock.now(), spend=spend)
            held = claimed(store, held.ref, worker=f"w-{fence}")
            assert (held.attempt, held.fence, held.worker) == (attempt, fence, f"w-{fence}")
            assert held.started_at == first_start

    def test_lanes_are_taken_in_the_order_given(self, store: Store, clock: ManualClock) -> None:
        """Whatever was due first; a lane that is not named is not touched."""
        for lane in (Priority.LOW, Priority.NORMAL, Priority.HIGH):
            store.enqueue(a_request(clock, lane, priority=lane))
            clock.advance(1)
        upside_down = [Priority.LOW, Priority.HIGH]
        names = [r.id for _ in range(2) if (r := claimed_next(store, upside_down))]
        assert names == ["low", "high"]
        assert claimed_next(store, upside_down) is None
        assert claimed_next(store, [Priority.NORMAL]) is not None

    def test_a_lane_with_nothing_due_is_passed_over(self, store: Store, clock: ManualClock) -> None:
        """A high request of tomorrow holds up nothing."""
        later = clock.now() + DAY_MS
        store.enqueue(a_request(clock, "high", priority=Priority.HIGH, due_at=later))
        store.enqueue(a_request(clock, "low", priority=Priority.LOW))
        request = claimed_next(store)
        assert request is not None
        assert request.id == "low"


class FairnessRules(StoreRules):
    """Rules about whose turn it is."""

    def test_within_a_tenant_the_one_due_first_comes_first(
        self, store: Store, clock: ManualClock
    ) -> None:
        """Not the one stored first."""
        for name, delay in (("c", 30), ("a", 10), ("b", 20)):
            store.enqueue(a_request(clock, name, due_at=clock.now() + delay))
        clock.advance(100)
        assert _claim_ids(store, 3) == ["a", "b", "c"]

    def test_a_tenant_with_many_does_not_hold_up_one_with_one(
        self, store: Store, clock: ManualClock
    ) -> None:
        """The single request is next but one at the latest, though all others were due before."""
        for number in range(20):
            store.enqueue(a_request(clock, f"many-{number}", tenant="big"))
            clock.advance(1)
        store.enqueue(a_request(clock, "single", tenant="small"))
        assert "single" in _claim_ids(store, 2)

    def test_tenants_take_turns(self, store: Store, clock: ManualClock) -> None:
        """The one whose last claim is longest ago comes first."""
        for tenant in ("t1", "t2", "t3"):
            for number in range(3):
                store.enqueue(a_request(clock, f"{tenant}-{number}", tenant=tenant))
        tenants = [name[:2] for name in _claim_ids(store, 9, clock)]
        rounds = [tenants[:3], tenants[3:6], tenants[6:]]
        assert sorted(rounds[0]) == ["t1", "t2", "t3"]
        assert rounds == [rounds[0]] * 3

    def test_turns_are_kept_while_time_stands_still(self, store: Store, clock: ManualClock) -> None:
        """Many claims fit into a millisecond; none of them is anybody's twice in a row."""
        for tenant in ("t1", "t2"):
            for number in range(3):
                store.enqueue(a_request(clock, f"{tenant}-{number}", tenant=tenant))
        tenants = [name[:2] for name in _claim_ids(store, 6)]
        assert tenants in (["t1", "t2"] * 3, ["t2", "t1"] * 3)

    def test_a_claim_by_ref_takes_a_turn_too(self, store: Store, clock: ManualClock) -> None:
        """Whoever was served just now, by whatever verb, comes last."""
        for tenant in ("t1", "t2"):
            for number in range(2):
                store.enqueue(a_request(clock, f"{tenant}-{number}", tenant=tenant))
                clock.advance(1)
        assert [name[:2] for name in _claim_ids(store, 2, clock)] in (["t1", "t2"], ["t2", "t1"])
        claimed(store, a_request(clock, "t1-1", tenant="t1").ref)
        store.enqueue(a_request(clock, "t1-2", tenant="t1"))
        assert _claim_ids(store, 1) == ["t2-1"]

    def test_a_tenant_with_nothing_due_is_passed_over(
        self, store: Store, clock: ManualClock
    ) -> None:
        """It has its turn when it has something to do."""
        later = clock.now() + 1000
        store.enqueue(a_request(clock, "later", tenant="t1", due_at=later))
        for number in range(2):
            store.enqueue(a_request(clock, f"now-{number}", tenant="t2"))
        assert sorted(_claim_ids(store, 2, clock)) == ["now-0", "now-1"]
        clock.advance(1000)
        store.enqueue(a_request(clock, "now-2", tenant="t2"))
        assert _claim_ids(store, 2) == ["later", "now-2"]

    def test_every_request_is_served_once(self, store: Store, clock: ManualClock) -> None:
        """Over tenants and lanes, until the queue is empty."""
        names = []
        for number in range(30):
            name, lane = f"r-{number}", list(Priority)[number % 3]
            store.enqueue(a_request(clock, name, tenant=f"t{number % 4}", priority=lane))
            names.append(name)
        assert sorted(_claim_ids(store, 30)) == sorted(names)
        assert claimed_next(store) is None


def _claim_ids(store: Store, times: int, clock: ManualClock | None = None) -> list[str]:
    names: list[str] = []
    for _ in range(times):
        request = claimed_next(store)
        assert request is not None, f"nothing more after {names}"
        names.append(request.id)
        if clock is not None:
            clock.advance(1)
    return names
