"""The sweeper: each minute it finds what everybody else has missed.

It makes good what a crash left: requests that are due and nobody was woken for, leases that lapsed,
cancelled work that did not stop, updates stored and not sent, connections that are over, and what
has expired. Several may run at once: every step is a conditional write.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

from streamer_core.engine import about, deliver, settle
from streamer_core.engine.dispatch import wake
from streamer_core.engine.finish import dead_lettered, measure_end, measure_retry
from streamer_core.engine.runtime import Runtime
from streamer_core.engine.snapshots import retrying
from streamer_core.engine.verdict import verdict
from streamer_core.errors import Conflict, LostLease
from streamer_core.model import encode
from streamer_core.model.ids import request_subject
from streamer_core.model.policy import Again
from streamer_core.model.request import Failure, Request, Snapshot, Status

T = TypeVar("T", Request, str)

_PAGE = 100
_MOST_PAGES = 100
_MOST_STUCK = 500  # their records are read again for each page behind them
_PURGE_S = 20.0
LOOK_AHEAD_MS = 60_000


@dataclass(kw_only=True)
class Swept:
    """How many of each kind a round dealt with."""

    lapsed: int = 0
    cancelled: int = 0
    woken: int = 0
    unsent: int = 0
    connections: int = 0
    purged: int = 0

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))


def sweep(rt: Runtime) -> Swept:
    """Make one round, and have the plugins make theirs.

    Raises:
        StoreError: the store failed; what was done stays done.
    """
    swept = Swept(
        lapsed=_lapsed(rt),
        cancelled=_cancelling(rt),
        woken=_due(rt),
        unsent=_unsent(rt),
        connections=_connections(rt),
        purged=_purge(rt),
    )
    rt.tell("streamer_on_sweep")
    if rt.measuring:  # to count them is no work for nothing
        rt.measure("connection.stored", rt.store.count_connections(), "gauge")
    return swept


def _lapsed(rt: Runtime) -> int:
    """Take requests from workers that were not heard of: an attempt is spent."""
    return _all_pages(rt.store.lapsed, lambda one: _recover(rt, one))


def _all_pages(read: Callable[[int], Sequence[T]], deal: Callable[[T], bool]) -> int:
    """Deal with what is found, page after page, and look past what cannot be dealt with now."""
    done = 0
    stuck: set[str] = set()
    for _ in range(_MOST_PAGES):
        limit = _PAGE + len(stuck)
        found = read(limit)
        page = [one for one in found if _name(one) not in stuck]
        left = [_name(one) for one in page if not _dealt_with(one, deal)]
        done += len(page) - len(left)
        stuck.update(left)
        if len(found) < limit or len(stuck) > _MOST_STUCK:
            break
    return done


def _name(one: Request | str) -> str:
    return one if isinstance(one, str) else one.ref


def _dealt_with(one: T, deal: Callable[[T], bool]) -> bool:
    if not isinstance(one, Request):
        return deal(one)
    with about.request(one):
        return deal(one)


def _recover(rt: Runtime, request: Request) -> bool:
    now = rt.clock.now()
    failure = Failure(
        attempt=request.attempt,
        code="PROCESSING_FAILED",
        message="The request failed",
        kind="WorkerLost",
        trace=f"the lease of worker {request.worker} lapsed at {request.lease_until}",
        at=now,
        worker=request.worker or "",
    )
    try:
        if request.cancel_requested_at is not None:
            return _end_cancelled(rt, request, lapsed=True)
        answer = verdict(rt, request, failure)
        if isinstance(answer, Again):
            return _retry(rt, request, failure, answer.delay_ms)
        return _end_failed(rt, request, failure)
    except (LostLease, Conflict):
        return False  # its worker, or another sweeper, was faster


def _retry(rt: Runtime, request: Request, failure: Failure, delay_ms: int) -> bool:
    due_at = rt.clock.now() + delay_ms
    last = request.progress or Snapshot(percentage=0, attempt=request.attempt, n=0)
    snapshot = retrying(last, attempt=request.attempt, due_at=due_at, at=failure.at)
    rt.store.requeue(
        request.ref,
        fence=request.fence,
        due_at=due_at,
        spend=True,
        progress=snapshot,
        failure=failure,
        lapsed=True,
    )
    measure_retry(rt, request, failure)
    _moved(rt, request, Status.RETRYING)
    message = encode.progress(rt.clock.now(), request, request.ref, snapshot)
    deliver.send(rt, message, rt.store.subscribers(request_subject(request.ref)))
    return True


def _end_failed(rt: Runtime, request: Request, failure: Failure) -> bool:
    now = rt.clock.now()
    rt.store.finish(
        request.ref,
        Status.FAILED,
        [settle.failed_update(failure, now)],
        fence=request.fence,
        expires_at=now + rt.settings.keep,
        failure=failure,
        lapsed=True,
    )
    _moved(rt, request, Status.FAILED)
    dead_lettered(rt, request, failure)
    deliver.send_unsent(rt, request.ref)
    return True


def _cancelling(rt: Runtime) -> int:
    """End what was asked to stop and did not within its grace; its worker's fence is old then."""
    before = rt.clock.now() - rt.settings.cancel_grace
    return _all_pages(
        lambda limit: rt.store.cancelling(before, limit),
        lambda one: _end_overdue(rt, one),
    )


def _end_overdue(rt: Runtime, request: Request) -> bool:
    try:
        return _end_cancelled(rt, request, lapsed=False)
    except LostLease:
        return False


def _end_cancelled(rt: Runtime, request: Request, *, lapsed: bool) -> bool:
    now = rt.clock.now()
    rt.store.finish(
        request.ref,
        Status.CANCELLED,
        [settle.cancelled_update(request.attempt, now)],
        fence=request.fence,
        expires_at=now + rt.settings.keep,
        lapsed=lapsed,
    )
    _moved(rt, request, Status.CANCELLED)
    deliver.send_unsent(rt, request.ref)
    return True


def _due(rt: Runtime) -> int:
    """Wake workers for what is due, and arm timers for what soon will be."""
    due = rt.store.due(rt.clock.now() + LOOK_AHEAD_MS, _PAGE)
    now = rt.clock.now()
    oldest = max((now - change.due_at for change in due), default=0)
    rt.measure("request.oldest", max(0, oldest), "ms")
    for change in due:
        wake(rt, change)
    return len(due)


def _unsent(rt: Runtime) -> int:
    before = rt.clock.now() - rt.settings.unsent_after
    return _all_pages(lambda limit: rt.store.unsent(before, limit), lambda one: _send(rt, one))


def _send(rt: Runtime, request: Request) -> bool:
    return deliver.send_unsent(rt, request.ref)


def _connections(rt: Runtime) -> int:
    return _all_pages(
        rt.store.expired_connections,
        lambda connection_id: _forget(rt, connection_id),
    )


def _forget(rt: Runtime, connection_id: str) -> bool:
    deliver.dismiss(rt, connection_id, "expired")
    return True


def _purge(rt: Runtime) -> int:
    """Delete as much as the time allows: a minute of requests may be a hundred thousand and more.

    What is left has expired all the same; the other duties must come round again soon.
    """
    done, end = 0, rt.clock.monotonic() + _PURGE_S
    while rt.clock.monotonic() < end and (purged := rt.store.purge()):
        done += purged
    return done


def _moved(rt: Runtime, request: Request, after: Status) -> None:
    rt.tell("streamer_on_transition", request=request, before=Status.PROCESSING, after=after)
    rt.measure("request.swept", tags={"action": request.action, "outcome": after.value.lower()})
    measure_end(rt, request, after)
