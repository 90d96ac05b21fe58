"""Every legal move of a request, and that no other is."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer_core.errors import Conflict, LostLease
from streamer_core.model import transitions as moves
from streamer_core.model.principal import Principal
from streamer_core.model.request import (
    KEPT_FAILURES,
    KEPT_TRACES,
    MOVES,
    Failure,
    Request,
    Snapshot,
    Status,
)
from streamer_core.model.transitions import Checkpoint
from streamer_core.model.update import Kind, NewUpdate

NEW = Request(ref="f", id="r", action="a", tenant="t", user="u", due_at=100)
HELD = moves.claimed(NEW, worker="w", lease_until=500, now=100)
CHUNK = NewUpdate(kind=Kind.CHUNK, attempt=1, body={"data": 1}, size=10)
END = NewUpdate(kind=Kind.COMPLETE, attempt=1, body={"result": 1}, size=12)
FAILURE = Failure(attempt=1, code="X", message="m")


def in_status(status: Status) -> Request:
    return replace(HELD, status=status)


def finish(request: Request, **changes: Any) -> moves.Moved:
    given_ = {"fence": request.fence, "now": 200, "expires_at": 900, **changes}
    updates = given_.pop("updates", [END])
    return moves.finished(request, given_.pop("status", Status.COMPLETED), updates, **given_)


def test_wire_names() -> None:
    assert [status.wire for status in Status] == [
        "queued",
        "processing",
        "retrying",
        "completed",
        "failed",
        "cancelled",
    ]


def test_what_is_terminal_and_what_waits() -> None:
    assert {status for status in Status if status.terminal} == {
        Status.COMPLETED,
        Status.FAILED,
        Status.CANCELLED,
    }
    assert {status for status in Status if status.waiting} == {Status.PENDING, Status.RETRYING}
    assert all(not MOVES[status] for status in Status if status.terminal)
    assert Status.PENDING.may_become(Status.PROCESSING)
    assert not Status.PENDING.may_become(Status.COMPLETED)


def test_a_claim() -> None:
    assert (HELD.status, HELD.attempt, HELD.fence) == (Status.PROCESSING, 1, 1)
    assert (HELD.worker, HELD.lease_until, HELD.started_at) == ("w", 500, 100)


def test_the_first_start_stays() -> None:
    back = moves.requeued(HELD, fence=1, now=200, due_at=300, spend=True).request
    again = moves.claimed(back, worker="v", lease_until=900, now=300)
    assert (again.started_at, again.attempt, again.fence) == (100, 2, 2)


@pytest.mark.parametrize("status", [s for s in Status if not s.waiting])
def test_what_cannot_be_claimed(status: Status) -> None:
    with pytest.raises(Conflict):
        moves.claimed(in_status(status), worker="w", lease_until=1, now=100)


def test_a_claim_before_it_is_due() -> None:
    assert not moves.claimable(NEW, 99)
    assert moves.claimable(NEW, 100)
    with pytest.raises(Conflict):
        moves.claimed(NEW, worker="w", lease_until=500, now=99)


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.PROCESSING])
def test_only_what_is_held_takes_its_holders_writes(status: Status) -> None:
    request = in_status(status)
    for write in (
        lambda: moves.extended(request, fence=1, lease_until=900),
        lambda: moves.appended(request, [CHUNK], fence=1),
        lambda: finish(request),
        lambda: moves.requeued(request, fence=1, now=200, due_at=300, spend=False),
    ):
        with pytest.raises(LostLease):
            write()


@pytest.mark.parametrize("fence", [0, 2])
def test_an_old_fence_writes_nothing(fence: int) -> None:
    for write in (
        lambda: moves.extended(HELD, fence=fence, lease_until=900),
        lambda: moves.appended(HELD, [CHUNK], fence=fence),
        lambda: finish(HELD, fence=fence),
        lambda: moves.requeued(HELD, fence=fence, now=200, due_at=300, spend=False),
    ):
        with pytest.raises(LostLease):
            write()


def test_a_heartbeat_never_shortens() -> None:
    assert moves.extended(HELD, fence=1, lease_until=400).lease_until == 500
    assert moves.extended(HELD, fence=1, lease_until=600).lease_until == 600


def test_updates_are_numbered() -> None:
    moved = moves.appended(HELD, [CHUNK, CHUNK], fence=1, checkpoint=Checkpoint(None))
    assert [update.seq for update in moved.updates] == [1, 2]
    assert (moved.request.last_seq, moved.request.checkpoint_seq) == (2, 2)
    more = moves.appended(moved.request, [CHUNK], fence=1)
    assert [update.seq for update in more.updates] == [3]
    assert (more.request.checkpoint, more.request.checkpoint_seq) == (None, 2)


def test_a_terminal_update_belongs_to_the_end() -> None:
    with pytest.raises(ValueError, match="terminal"):
        moves.appended(HELD, [END], fence=1)
    with pytest.raises(ValueError, match="terminal"):
        finish(HELD, updates=[END, CHUNK])
    with pytest.raises(ValueError, match="terminal"):
        finish(HELD, updates=[CHUNK])
    with pytest.raises(ValueError, match="terminal"):
        finish(HELD, updates=[])
    with pytest.raises(ValueError, match="terminal"):
        finish(HELD, updates=[END, END])
    with pytest.raises(ValueError, match="terminal"):
        finish(HELD, status=Status.PENDING)


def test_an_end() -> None:
    ended = finish(HELD, updates=[CHUNK, END], failure=FAILURE).request
    assert (ended.status, ended.last_seq, ended.outcome) == (Status.COMPLETED, 2, {"result": 1})
    assert (ended.lease_until, ended.worker) == (None, None)
    assert (ended.finished_at, ended.expires_at) == (200, 900)
    assert ended.failures == (FAILURE,)


def test_giving_back() -> None:
    spent = moves.requeued(HELD, fence=1, now=200, due_at=300, spend=True, failure=FAILURE).request
    assert (spent.status, spent.spent, spent.due_at) == (Status.RETRYING, 1, 300)
    assert (spent.lease_until, spent.worker, spent.failures) == (None, None, (FAILURE,))
    kept = moves.requeued(HELD, fence=1, now=200, due_at=300, spend=False).request
    assert (kept.status, kept.spent) == (Status.PENDING, 0)


def test_what_was_asked_to_stop_does_not_wait_again() -> None:
    asked = moves.flagged(HELD, now=150)
    assert moves.flagged(asked, now=180).cancel_requested_at == 150
    with pytest.raises(Conflict):
        moves.requeued(asked, fence=1, now=200, due_at=300, spend=False)
    assert finish(asked, status=Status.CANCELLED).request.status is Status.CANCELLED


def test_a_lease_is_over_once_its_time_has_come() -> None:
    assert not moves.lease_over(HELD, 499)
    assert moves.lease_over(HELD, 500)
    with pytest.raises(LostLease):
        finish(HELD, lapsed=True, now=499)
    assert finish(HELD, lapsed=True, now=500).request.status is Status.COMPLETED
    with pytest.raises(LostLease):
        moves.requeued(HELD, fence=1, now=499, due_at=1, spend=True, lapsed=True)


def test_cancelling_what_waits() -> None:
    ended = moves.cancelled(NEW, END, now=200, expires_at=900).request
    assert (ended.status, ended.last_seq, ended.finished_at) == (Status.CANCELLED, 1, 200)
    for status in (Status.PROCESSING, Status.COMPLETED):
        with pytest.raises(Conflict):
            moves.cancelled(in_status(status), END, now=200, expires_at=900)
    with pytest.raises(Conflict):
        moves.flagged(NEW, now=200)


def test_a_new_record() -> None:
    assert moves.accepted(NEW, now=100) is NEW
    assert moves.accepted(NEW, now=100, worker="w", lease_until=500) == HELD
    with pytest.raises(ValueError, match="new"):
        moves.accepted(HELD, now=100)
    with pytest.raises(ValueError, match="together"):
        moves.accepted(NEW, now=100, worker="w")


@given(st.integers(0, 20), st.lists(st.integers(0, 30)))
def test_sent_never_falls_and_never_leads(last_seq: int, seqs: list[int]) -> None:
    request = replace(HELD, last_seq=last_seq)
    for seq in seqs:
        after = moves.sent(request, seq)
        assert request.sent_seq <= after.sent_seq <= last_seq
        request = after


def test_expiry() -> None:
    assert not moves.expired(NEW, 10**15)
    ended = finish(HELD).request
    assert not moves.expired(ended, 899)
    assert moves.expired(ended, 900)


def test_the_last_failures_are_kept() -> None:
    request = HELD
    told: dict[str, Any] = {"trace": "T" * 900, "details": {"n": 1}, "message": "m" * 900}
    for number in range(KEPT_FAILURES + 3):
        failure = replace(FAILURE, attempt=number, **told)
        request = moves.requeued(
            request, fence=request.fence, now=200, due_at=200, spend=True, failure=failure
        ).request
        request = moves.claimed(request, worker="w", lease_until=500, now=200)
    assert [failure.attempt for failure in request.failures] == list(range(3, KEPT_FAILURES + 3))
    older, newest = request.failures[:-KEPT_TRACES], request.failures[-KEPT_TRACES:]
    assert all((one.trace, one.details, len(one.message)) == ("", None, 200) for one in older)
    assert all((one.trace, one.message) == (told["trace"], told["message"]) for one in newest)
    assert {one.kind for one in older} == {FAILURE.kind}


snapshots = st.builds(
    Snapshot, percentage=st.just(1), attempt=st.integers(1, 3), n=st.integers(1, 3)
)


@given(st.none() | snapshots, st.none() | snapshots)
def test_the_newest_snapshot_stays(kept: Snapshot | None, reported: Snapshot | None) -> None:
    found = moves.newest(kept, reported)
    rank = max((s.attempt, s.n) for s in (kept, reported) if s) if kept or reported else None
    assert (found and (found.attempt, found.n)) == rank


def test_followers() -> None:
    assert moves.followed(HELD).subscribers_version == 2
    assert moves.followed(moves.followed(HELD)).subscribers_version == 3


@pytest.mark.parametrize(
    ("principal", "sees"),
    [
        (Principal(user="u", tenant="t"), True),
        (Principal(user="v", tenant="t"), False),
        (Principal(user="v", tenant="t", scopes=frozenset({"streamer:admin"})), True),
        (Principal(user="u", tenant="s", scopes=frozenset({"streamer:admin"})), False),
    ],
)
def test_owners(principal: Principal, sees: bool) -> None:
    assert HELD.owned_by(principal) is sees


def test_whom_a_handler_acts_for() -> None:
    request = replace(HELD, scopes=frozenset({"s"}))
    assert request.principal == Principal(user="u", tenant="t", scopes=frozenset({"s"}))
    assert request.principal.may("s")
