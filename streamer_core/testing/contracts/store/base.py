"""Fixtures and short words that all store rules share."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from streamer_core.model.counter import Count
from streamer_core.model.message import Priority
from streamer_core.model.request import Request, Status
from streamer_core.model.update import NewUpdate
from streamer_core.ports import Held, Store
from streamer_core.ports.clock import Clock
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import DAY_MS, LEASE_MS, a_request, an_end, an_error

OpenStore = Callable[[Clock], Store]

LANES = (Priority.HIGH, Priority.NORMAL, Priority.LOW)
SETTLE = (Count(key="open/acme", amount=-1), Count(key="done/acme", amount=1))


class StoreRules:
    """What the rules stand on; see StoreContract for the capabilities."""

    durable: bool = False
    multi_process: bool = False
    max_item_bytes: int | None = None
    purges: bool = True
    walk_items: int = 120

    @pytest.fixture
    def clock(self) -> ManualClock:
        """Give a clock that stands still."""
        return ManualClock()

    @pytest.fixture
    def open_store(self) -> OpenStore:
        """Give a function that opens a handle; the implementer's."""
        raise NotImplementedError("the subclass gives the fixture open_store")

    @pytest.fixture
    def store(self, open_store: OpenStore, clock: ManualClock) -> Iterator[Store]:
        """Give an open store, empty at the test's start."""
        store = open_store(clock)
        yield store
        store.close()

    @pytest.fixture(params=range(5))
    def rounds(self) -> None:
        """Repeat a test: a race is lost now and then, not always."""


def claimed(store: Store, ref: str, worker: str = "w-1") -> Request:
    """Claim a request that must be there to be claimed."""
    request = store.claim(ref, worker=worker, lease_until=store.clock.now() + LEASE_MS)
    assert request is not None, "not claimable"
    return request


def claimed_next(
    store: Store, lanes: Sequence[Priority] = LANES, worker: str = "w-1"
) -> Request | None:
    """Claim whatever is next."""
    lease_until = store.clock.now() + LEASE_MS
    return next(iter(store.claim_next(lanes, worker=worker, lease_until=lease_until)), None)


def running(store: Store, name: str = "r-1", **given: object) -> Request:
    """Enqueue a request and claim it."""
    request = a_request(store.clock, name, **given)  # type: ignore[arg-type]
    store.enqueue(request)
    return claimed(store, request.ref)


def completed(
    store: Store, held: Request, updates: Sequence[NewUpdate] = (), *, lapsed: bool = False
) -> Held:
    """Finish a held request well."""
    return store.finish(
        held.ref,
        Status.COMPLETED,
        [*updates, an_end(store.clock, attempt=held.attempt)],
        fence=held.fence,
        expires_at=store.clock.now() + DAY_MS,
        lapsed=lapsed,
    )


def stopped(store: Store, held: Request) -> Held:
    """Finish a held request that was asked to stop."""
    return store.finish(
        held.ref,
        Status.CANCELLED,
        [an_error(store.clock)],
        fence=held.fence,
        expires_at=store.clock.now() + DAY_MS,
    )


def stored(store: Store, ref: str) -> Request:
    """Read a request that must be there."""
    request = store.get(ref)
    assert request is not None, "no such request"
    return request


def levels_of(store: Store) -> tuple[float, ...]:
    """Read what a request that settles `SETTLE` has settled."""
    return store.count([Count(key=count.key, amount=0) for count in SETTLE]).levels
