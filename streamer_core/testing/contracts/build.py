"""Records to test with, and a few ways to wait."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from streamer_core.errors import StoreError
from streamer_core.model.connection import Connection
from streamer_core.model.encode import new_update
from streamer_core.model.ids import ref_of
from streamer_core.model.principal import Principal
from streamer_core.model.request import Failure, Request, Snapshot
from streamer_core.model.update import Kind, NewUpdate
from streamer_core.ports.clock import Clock

T = TypeVar("T")

LEASE_MS = 30_000
DAY_MS = 86_400_000
PATIENCE_S = 5.0


def a_request(
    clock: Clock, name: str = "r-1", *, tenant: str = "acme", user: str = "ann", **given: Any
) -> Request:
    """Give a new request, accepted and due now."""
    now = clock.now()
    fields: dict[str, Any] = {"created_at": now, "due_at": now, "payload": {"name": name}}
    fields |= {"action": "report", "digest": f"digest of {name}", **given}
    return Request(ref=ref_of(tenant, user, name), id=name, tenant=tenant, user=user, **fields)


def a_connection(
    clock: Clock,
    name: str = "c-1",
    *,
    tenant: str = "acme",
    user: str = "ann",
    lives_ms: int = DAY_MS,
) -> Connection:
    """Give a connection, opened now."""
    return Connection(
        id=name,
        principal=Principal(
            user=user, tenant=tenant, scopes=frozenset({"a", "b"}), kept={"plan": "pro"}
        ),
        address="192.0.2.1",
        connected_at=clock.now(),
        expires_at=clock.now() + lives_ms,
    )


def a_chunk(clock: Clock, data: Any = "piece", attempt: int = 1) -> NewUpdate:
    """Give a piece of output."""
    return new_update(Kind.CHUNK, attempt, {"data": data}, clock.now())


def an_end(clock: Clock, result: Any = "done", attempt: int = 1) -> NewUpdate:
    """Give a terminal update of a success."""
    return new_update(Kind.COMPLETE, attempt, {"result": result}, clock.now())


def an_error(clock: Clock, code: str = "CANCELLED", attempt: int = 1) -> NewUpdate:
    """Give a terminal update of a failure."""
    body = {"error": {"code": code, "message": "It ended."}}
    return new_update(Kind.ERROR, attempt, body, clock.now())


def a_snapshot(percentage: float, n: int, attempt: int = 1) -> Snapshot:
    """Give a progress snapshot."""
    return Snapshot(percentage=percentage, message=f"{percentage} %", n=n, attempt=attempt)


def a_failure(attempt: int = 1) -> Failure:
    """Give an attempt's failure."""
    return Failure(
        attempt=attempt,
        code="PROCESSING_FAILED",
        message="It failed.",
        kind="ValueError",
        trace="ValueError: it failed",
    )


def race(racers: int, run: Callable[[int], T]) -> list[T | StoreError]:
    """Run a function in threads that start together; gives each one's result or store error."""
    barrier = threading.Barrier(racers)

    def start(number: int) -> T | StoreError:
        barrier.wait(PATIENCE_S)
        try:
            return run(number)
        except StoreError as error:
            return error

    with _eager_switches(), ThreadPoolExecutor(racers) as pool:
        return list(pool.map(start, range(racers)))


@contextmanager
def _eager_switches() -> Iterator[None]:
    # Python changes threads each 5 ms, longer than a verb takes: few races would be raced.
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def eventually(holds: Callable[[], bool]) -> bool:
    """Wait, some seconds at most, for what may become true a little after a verb returned."""
    deadline = time.monotonic() + PATIENCE_S
    while not (held := holds()) and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    return held
