"""What a request becomes: every legal move, as pure functions from record to record.

Stores apply these inside one conditional write, so that no two stores disagree on a move. What
belongs to the store itself stays there: slots, counters, subscriptions and the change feed.

A lease is over, a due time has come and an item has expired once `now` has reached them.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from streamer_core.errors import Conflict, LostLease
from streamer_core.model.counter import Count
from streamer_core.model.request import (
    ORIGIN_ALONE,
    Failure,
    Request,
    Snapshot,
    Status,
    joined,
)
from streamer_core.model.update import NewUpdate, Update
from streamer_core.records import record


@record
class Moved:
    """A record after its move, and the updates that it numbered, to be stored with it."""

    request: Request
    updates: tuple[Update, ...] = ()


class Checkpoint(NamedTuple):
    """A new checkpoint, which may be any JSON value, None included."""

    data: Any


def expired(request: Request, now: int) -> bool:
    """Tell whether every read must treat the record as absent."""
    return request.expires_at is not None and request.expires_at <= now


def claimable(request: Request, now: int) -> bool:
    """Tell whether it waits and its due time has come; slots are not looked at."""
    return request.status.waiting and request.due_at <= now


def lease_over(request: Request, now: int) -> bool:
    """Tell whether it is PROCESSING and nobody holds it any more."""
    lease_until = request.lease_until or 0
    return request.status is Status.PROCESSING and lease_until <= now


def accepted(
    request: Request, *, now: int, worker: str | None = None, lease_until: int | None = None
) -> Request:
    """Give a new record as it is stored first: with a worker, as claimed already.

    Raises:
        ValueError: it is not new, or only one of `worker` and `lease_until` is given.
    """
    if request.status is not Status.PENDING or request.last_seq or request.fence:
        raise ValueError("only a new PENDING request can be enqueued")
    if (worker is None) != (lease_until is None):
        raise ValueError("worker and lease_until are given together or not at all")
    if worker is None or lease_until is None:
        return request
    return _taken(request, worker=worker, lease_until=lease_until, now=now)


def claimed(request: Request, *, worker: str, lease_until: int, now: int) -> Request:
    """Give a due request to a worker.

    Raises:
        Conflict: it does not wait, or is not due.
    """
    if not claimable(request, now):
        raise Conflict(f"request {request.ref} is {request.status}, due at {request.due_at}")
    return _taken(request, worker=worker, lease_until=lease_until, now=now)


def extended(
    request: Request, *, fence: int, lease_until: int, progress: Snapshot | None = None
) -> Request:
    """Extend the lease, never shorten it, and keep the newest progress.

    Raises:
        LostLease: the fence is old, or it is not PROCESSING.
    """
    check_held(request, fence=fence)
    return request.changed(
        lease_until=max(lease_until, request.lease_until or 0),
        progress=newest(request.progress, progress),
    )


def appended(
    request: Request,
    updates: Sequence[NewUpdate],
    *,
    fence: int,
    progress: Snapshot | None = None,
    checkpoint: Checkpoint | None = None,
) -> Moved:
    """Number updates; `checkpoint` None leaves the stored one as it is.

    Raises:
        LostLease: the fence is old, or it is not PROCESSING.
        ValueError: one of the updates is terminal.
    """
    check_held(request, fence=fence)
    return _with_updates(request, updates, progress=progress, checkpoint=checkpoint)


def finished(
    request: Request,
    status: Status,
    updates: Sequence[NewUpdate],
    *,
    fence: int,
    now: int,
    expires_at: int,
    progress: Snapshot | None = None,
    failure: Failure | None = None,
    lapsed: bool = False,
) -> Moved:
    """End a held request.

    Raises:
        LostLease: the fence is old, it is not PROCESSING, or `lapsed` and the lease is not over.
        ValueError: `status` is not terminal, or the last update is not, or another one is.
    """
    check_held(request, fence=fence, lapsed_at=now if lapsed else None)
    kept = request.changed(
        progress=newest(request.progress, progress),
        ran_ms=_ran_ms(request, now),
        failures=joined(request.failures, failure),
    )
    return _ended(kept, status, updates, now=now, expires_at=expires_at)


def requeued(
    request: Request,
    *,
    fence: int,
    now: int,
    due_at: int,
    spend: bool,
    updates: Sequence[NewUpdate] = (),
    progress: Snapshot | None = None,
    checkpoint: Checkpoint | None = None,
    failure: Failure | None = None,
    lapsed: bool = False,
) -> Moved:
    """Give a held request back: RETRYING where an attempt is spent, else PENDING.

    Raises:
        LostLease: the fence is old, it is not PROCESSING, or `lapsed` and the lease is not over.
        Conflict: it was asked to stop, so it must not wait again.
        ValueError: one of the updates is terminal.
    """
    check_held(request, fence=fence, lapsed_at=now if lapsed else None)
    if request.cancel_requested_at is not None:
        raise Conflict(f"request {request.ref} was asked to stop; finish it as CANCELLED")
    moved = _with_updates(request, updates, progress=progress, checkpoint=checkpoint)
    back = moved.request.changed(
        status=Status.RETRYING if spend else Status.PENDING,
        spent=request.spent + spend,
        due_at=due_at,
        lease_until=None,
        worker=None,
        ran_ms=_ran_ms(request, now),
        failures=joined(request.failures, failure),
    )
    return replace(moved, request=back)


def cancelled(request: Request, terminal: NewUpdate, *, now: int, expires_at: int) -> Moved:
    """End a waiting request.

    Raises:
        Conflict: it does not wait.
        ValueError: the update is not terminal.
    """
    if not request.status.waiting:
        raise Conflict(f"request {request.ref} is {request.status}")
    return _ended(request, Status.CANCELLED, (terminal,), now=now, expires_at=expires_at)


def settlement(ended: Request) -> tuple[Count, ...]:
    """Give the counts that the write which ends a request applies."""
    seconds, updates, out_bytes = ended.ran_ms / 1000, ended.last_seq, ended.out_bytes
    return tuple(
        one.whole(seconds=seconds, updates=updates, out_bytes=out_bytes) for one in ended.settle
    )


def flagged(request: Request, *, now: int) -> Request:
    """Ask a running request to stop; asked again, the first time stays.

    Raises:
        Conflict: it is not PROCESSING.
    """
    if request.status is not Status.PROCESSING:
        raise Conflict(f"request {request.ref} is {request.status}")
    if request.cancel_requested_at is not None:
        return request
    return request.changed(cancel_requested_at=now)


def sent(request: Request, seq: int) -> Request:
    """Note what was sent: `sent_seq` never falls and never passes `last_seq`."""
    return request.changed(sent_seq=max(request.sent_seq, min(seq, request.last_seq)))


def followed(request: Request) -> Request:
    """Note that who is subscribed has changed."""
    return request.changed(subscribers_version=max(request.subscribers_version, ORIGIN_ALONE) + 1)


def check_held(request: Request, *, fence: int, lapsed_at: int | None = None) -> None:
    """Check that the fence is the present one, and at `lapsed_at` that the lease is over.

    Raises:
        LostLease: one of them does not hold, or the request is not PROCESSING.
    """
    if request.status is not Status.PROCESSING:
        raise LostLease(f"request {request.ref} is {request.status}")
    if request.fence != fence:
        raise LostLease(f"request {request.ref} is at fence {request.fence}, not {fence}")
    if lapsed_at is not None and not lease_over(request, lapsed_at):
        raise LostLease(f"request {request.ref} is held until {request.lease_until}")


def numbered(updates: Sequence[NewUpdate], *, after: int) -> tuple[Update, ...]:
    """Number updates from `after + 1` on."""
    return tuple(
        Update(seq=seq, kind=new.kind, attempt=new.attempt, body=new.body, at=new.at)
        for seq, new in enumerate(updates, after + 1)
    )


def newest(kept: Snapshot | None, reported: Snapshot | None) -> Snapshot | None:
    """Give the later of two snapshots: by attempt, then `n`; the reported one where equal."""
    if kept is None or reported is None:
        return reported or kept
    later = (reported.attempt, reported.n) >= (kept.attempt, kept.n)
    return reported if later else kept


def _taken(request: Request, *, worker: str, lease_until: int, now: int) -> Request:
    return request.changed(
        status=Status.PROCESSING,
        attempt=request.spent + 1,
        fence=request.fence + 1,
        lease_until=lease_until,
        worker=worker,
        started_at=now if request.started_at is None else request.started_at,
        claimed_at=now,
    )


def _ran_ms(request: Request, now: int) -> int:
    """Add up how long a held request was held; nobody was heard of after its lease."""
    until = now if request.lease_until is None else min(now, request.lease_until)
    return request.ran_ms + max(0, until - (request.claimed_at or until))


def _out_bytes(request: Request, updates: Sequence[NewUpdate]) -> int:
    return request.out_bytes + sum([update.size for update in updates])


def _with_updates(
    request: Request,
    updates: Sequence[NewUpdate],
    *,
    progress: Snapshot | None,
    checkpoint: Checkpoint | None,
) -> Moved:
    if any(update.kind.terminal for update in updates):
        raise ValueError("a terminal update belongs to finish or cancel")
    stored = numbered(updates, after=request.last_seq)
    last_seq = request.last_seq + len(stored)
    return Moved(
        request=request.changed(
            last_seq=last_seq,
            out_bytes=_out_bytes(request, updates),
            progress=newest(request.progress, progress),
            checkpoint=checkpoint.data if checkpoint else request.checkpoint,
            checkpoint_seq=last_seq if checkpoint else request.checkpoint_seq,
        ),
        updates=stored,
    )


def _ended(
    request: Request, status: Status, updates: Sequence[NewUpdate], *, now: int, expires_at: int
) -> Moved:
    if not status.terminal or [update.kind.terminal for update in updates].count(True) != 1:
        raise ValueError(f"{status} with one terminal update expected")
    if not updates[-1].kind.terminal:
        raise ValueError("the terminal update comes last")
    stored = numbered(updates, after=request.last_seq)
    return Moved(
        request=request.changed(
            status=status,
            last_seq=stored[-1].seq,
            out_bytes=_out_bytes(request, updates),
            outcome=stored[-1].body,
            lease_until=None,
            worker=None,
            finished_at=now,
            expires_at=expires_at,
        ),
        updates=stored,
    )
