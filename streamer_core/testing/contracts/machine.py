"""A random walk through a store, compared with the oracle at every step. Needs hypothesis."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamer_core.errors import Conflict, LostLease, StoreError
from streamer_core.model import transitions
from streamer_core.model.counter import Count
from streamer_core.model.message import Priority
from streamer_core.model.policy import Slot
from streamer_core.model.request import Request, Status
from streamer_core.model.transitions import Checkpoint, Moved
from streamer_core.ports import Ending, Held, Query, Store
from streamer_core.ports.clock import Clock
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import (
    a_chunk,
    a_failure,
    a_request,
    a_snapshot,
    an_end,
    an_error,
)
from streamer_core.testing.contracts.oracle import Oracle

LEASE_MS = 100
KEEP_MS = 2_000
SETTLE = Count(key="ended")

NAMES = st.sampled_from([f"r-{number}" for number in range(8)])
TENANTS = st.sampled_from(["t1", "t2", "t3"])
SLOTS = st.lists(
    st.sampled_from([Slot(key="one", at_most=1), Slot(key="two", at_most=2)]), unique=True
).map(tuple)
LANES = st.lists(st.sampled_from(list(Priority)), unique=True)
DELAYS = st.sampled_from([0, 0, 0, 30, 150])
PIECES = st.lists(st.integers(), max_size=3)
CHOICE = st.integers(min_value=0, max_value=10**6)


class StoreMachine(RuleBasedStateMachine):
    """Takes random steps on a store and knows what each of them must give.

    Subclass it, give `open_store`, and hand its `TestCase` to pytest:

    ```python
    class MyMachine(StoreMachine):
        def open_store(self, clock):
            return MyStore(":memory:", clock)

    TestMyMachine = MyMachine.TestCase
    TestMyMachine.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
    ```
    It holds that a request has one terminal update and it comes last, that numbers have no gap,
    that a fence never falls, that a slot is never over its limit and never left empty while
    somebody who is due waits for it, and that the record is the one that the transitions give.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.oracle = Oracle()
        self.fences: dict[str, int] = {}
        self.store = self.open_store(self.clock)

    def open_store(self, clock: Clock) -> Store:
        """Open a store that is empty; the implementer's."""
        raise NotImplementedError("the subclass says how to open a store")

    def teardown(self) -> None:
        """Close the store."""
        self.store.close()

    # -- steps that take requests in

    @rule(name=NAMES, tenant=TENANTS, lane=st.sampled_from(Priority), slots=SLOTS, delay=DELAYS)
    def enqueue(
        self, name: str, tenant: str, lane: Priority, slots: tuple[Slot, ...], delay: int
    ) -> None:
        """Enqueue a request, new or not."""
        given = a_request(
            self.clock,
            name,
            tenant=tenant,
            priority=lane,
            slots=slots,
            settle=(SETTLE,),
            due_at=self.clock.now() + delay,
        )
        known = self.oracle.requests.get(given.ref)
        enqueued = self.store.enqueue(given)
        assert enqueued.created == (known is None)
        self.oracle.put(known or given)
        assert enqueued.request == self.oracle.requests[given.ref]

    @rule(ms=st.sampled_from([1, 10, 60, 100, 1_000]))
    def pass_time(self, ms: int) -> None:
        """Let leases lapse, requests become due, ended ones expire."""
        self.clock.advance(ms)
        self.oracle.forget_expired(self.clock.now())
        self.fences = {ref: f for ref, f in self.fences.items() if ref in self.oracle.requests}

    # -- steps that claim

    @precondition(lambda self: self.oracle.requests)
    @rule(choice=CHOICE)
    def claim(self, choice: int) -> None:
        """Claim any request, whether it may be claimed or not."""
        request = self._any(choice)
        able = self.oracle.may_claim(request, self.clock.now())
        claimed = self.store.claim(request.ref, worker="w", lease_until=self._lease())
        assert (claimed is not None) == able
        if claimed is not None:
            assert claimed == self._note_claim(claimed.ref)

    @rule(lanes=LANES, at_most=st.integers(1, 4))
    def claim_next(self, lanes: list[Priority], at_most: int) -> None:
        """Claim whatever is next."""
        claimed = self.store.claim_next(
            lanes, worker="w", lease_until=self._lease(), at_most=at_most
        )
        assert len(claimed) <= at_most
        for one in claimed:
            choices = self.oracle.next_choices(lanes, self.clock.now())
            assert one.ref in choices, "it was somebody else's turn"
            assert one == self._note_claim(one.ref)
        if len(claimed) < at_most:
            left = self.oracle.next_choices(lanes, self.clock.now())
            assert not left, "somebody was due and had room"

    # -- steps of a holder, of a former one, and of the sweeper

    @precondition(lambda self: self.oracle.requests)
    @rule(choice=CHOICE, stale=st.booleans())
    def heartbeat(self, choice: int, stale: bool) -> None:
        """Extend a lease."""
        request, fence = self._holder(choice, stale=stale)
        progress = a_snapshot(choice % 100, choice % 5, request.attempt)
        lease = self._lease()
        self._step(
            lambda: self.store.heartbeat(
                request.ref, fence=fence, lease_until=lease, progress=progress
            ),
            lambda: Moved(
                request=transitions.extended(
                    request, fence=fence, lease_until=lease, progress=progress
                )
            ),
        )

    @precondition(lambda self: self.oracle.requests)
    @rule(choice=CHOICE, stale=st.booleans(), pieces=PIECES, checkpoint=st.none() | st.integers())
    def append(self, choice: int, stale: bool, pieces: list[int], checkpoint: int | None) -> None:
        """Append chunks, now and then with a checkpoint."""
        request, fence = self._holder(choice, stale=stale)
        updates = [a_chunk(self.clock, piece) for piece in pieces]
        given = self._checkpoint(checkpoint)
        self._step(
            lambda: self.store.append(request.ref, updates, fence=fence, **given),
            lambda: transitions.appended(
                request,
                updates,
                fence=fence,
                checkpoint=None if checkpoint is None else Checkpoint(checkpoint),
            ),
        )

    @precondition(lambda self: self.oracle.requests)
    @rule(
        choice=CHOICE,
        stale=st.booleans(),
        lapsed=st.booleans(),
        missed=st.none() | st.sampled_from((0, 0, 1)),
    )
    def finish(self, choice: int, stale: bool, lapsed: bool, missed: int | None) -> None:
        """End a request, whose holder may say what it knows, and have missed an update."""
        request, fence = self._holder(choice, stale=stale)
        now, updates = self.clock.now(), [a_chunk(self.clock), an_end(self.clock)]
        status, expires_at = Status.COMPLETED, self.clock.now() + KEEP_MS
        known = None
        if missed is not None:
            known = request.changed(fence=fence, last_seq=max(0, request.last_seq - missed))
        self._step(
            lambda: self._ended(
                Ending(
                    ref=request.ref,
                    status=status,
                    updates=updates,
                    fence=fence,
                    expires_at=expires_at,
                    lapsed=lapsed,
                    known=known,
                )
            ),
            lambda: transitions.finished(
                request,
                status,
                updates,
                fence=fence,
                now=now,
                expires_at=expires_at,
                lapsed=lapsed,
            ),
        )

    def _ended(self, ending: Ending) -> Held:
        """End a request as one of several."""
        (answer,) = self.store.finish_all([ending])
        if isinstance(answer, StoreError):
            raise answer
        return answer

    @precondition(lambda self: self.oracle.requests)
    @rule(
        choice=CHOICE, stale=st.booleans(), spend=st.booleans(), lapsed=st.booleans(), delay=DELAYS
    )
    def requeue(self, choice: int, stale: bool, spend: bool, lapsed: bool, delay: int) -> None:
        """Give a request back."""
        request, fence = self._holder(choice, stale=stale)
        now, failure = self.clock.now(), a_failure(request.attempt)
        self._step(
            lambda: self.store.requeue(
                request.ref,
                fence=fence,
                due_at=now + delay,
                spend=spend,
                failure=failure,
                lapsed=lapsed,
            ),
            lambda: transitions.requeued(
                request,
                fence=fence,
                now=now,
                due_at=now + delay,
                spend=spend,
                failure=failure,
                lapsed=lapsed,
            ),
        )

    @precondition(lambda self: self.oracle.requests)
    @rule(choice=CHOICE)
    def cancel(self, choice: int) -> None:
        """Cancel a request in any state."""
        request, now = self._any(choice), self.clock.now()
        terminal, expires_at = an_error(self.clock), now + KEEP_MS
        after = self.store.cancel(request.ref, terminal, expires_at=expires_at)
        if request.status.waiting:
            moved = transitions.cancelled(request, terminal, now=now, expires_at=expires_at)
            self.oracle.move(moved)
        elif request.status is Status.PROCESSING:
            self.oracle.put(transitions.flagged(request, now=now))
        assert after == self.oracle.requests[request.ref]

    @rule()
    def purge(self) -> None:
        """Delete what has expired, which nobody must notice."""
        self.store.purge()

    # -- what holds after every step

    @invariant()
    def every_request_is_as_it_should_be(self) -> None:
        """The record, its fence, and its updates without a gap."""
        for ref, expected in self.oracle.requests.items():
            assert self.store.get(ref) == expected
            assert expected.fence >= self.fences.get(ref, 0)
            self.fences[ref] = expected.fence
            updates = list(self.store.updates(ref))
            assert updates == self.oracle.history[ref]
            assert [update.seq for update in updates] == list(range(1, expected.last_seq + 1))
            ends = [update.seq for update in updates if update.kind.terminal]
            assert ends == ([expected.last_seq] if expected.status.terminal else [])

    @invariant()
    def no_slot_is_over_its_limit(self) -> None:
        """By the records that the store itself lists as running."""
        page = self.store.query(Query(statuses=frozenset({Status.PROCESSING})), limit=1000)
        slots = [slot for request in page.items for slot in request.slots]
        assert all(slots.count(slot) <= slot.at_most for slot in slots)

    @invariant()
    def every_end_is_settled_once(self) -> None:
        """Also those whose request has expired since."""
        levels = self.store.count([Count(key=SETTLE.key, amount=0)]).levels
        assert levels == (self.oracle.levels[SETTLE.key],)

    @invariant()
    def the_sweeper_sees_what_it_should(self) -> None:
        """Lapsed leases, requests that do not stop, updates nobody sent."""
        now, requests = self.clock.now(), self.oracle.requests.values()
        lapsed = {r.ref for r in requests if transitions.lease_over(r, now)}
        asked = {r.ref for r in self.oracle.running() if r.cancel_requested_at is not None}
        unsent = {r.ref for r in requests if r.last_seq}
        assert {r.ref for r in self.store.lapsed()} == lapsed
        assert {r.ref for r in self.store.cancelling(now + 1)} == asked
        assert {r.ref for r in self.store.unsent(now + 1)} == unsent

    def _any(self, choice: int) -> Request:
        requests = list(self.oracle.requests.values())
        return requests[choice % len(requests)]

    def _holder(self, choice: int, *, stale: bool) -> tuple[Request, int]:
        held = self.oracle.running()
        if stale or not held:
            request = self._any(choice)
            return request, max(0, request.fence - 1)
        request = held[choice % len(held)]
        return request, request.fence

    def _step(self, act: Callable[[], Held], foresee: Callable[[], Moved]) -> None:
        try:
            moved = foresee()
        except (Conflict, LostLease) as expected:
            try:
                act()
            except type(expected):
                return
            raise AssertionError(f"not refused: {expected}") from expected
        held = act()
        assert held.last_seq == moved.request.last_seq
        assert held.cancel_requested == (moved.request.cancel_requested_at is not None)
        self.oracle.move(moved)

    def _note_claim(self, ref: str) -> Request:
        lease_until, now = self._lease(), self.clock.now()
        return self.oracle.claim(ref, worker="w", lease_until=lease_until, now=now)

    def _lease(self) -> int:
        return self.clock.now() + LEASE_MS

    def _checkpoint(self, checkpoint: int | None) -> dict[str, Any]:
        return {} if checkpoint is None else {"checkpoint": checkpoint}
