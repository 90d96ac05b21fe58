"""Ending a request."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from streamer_core.errors import LostLease
from streamer_core.model.counter import Count
from streamer_core.model.ids import request_subject
from streamer_core.model.request import Request, Status
from streamer_core.model.update import Kind
from streamer_core.ports import Ending, Held, Store
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import (
    DAY_MS,
    LEASE_MS,
    a_chunk,
    a_connection,
    a_failure,
    a_request,
    a_snapshot,
    an_end,
    an_error,
)
from streamer_core.testing.contracts.store.base import (
    SETTLE,
    StoreRules,
    claimed,
    completed,
    levels_of,
    running,
    stored,
)


def _appended(store: Store, held: Request) -> Request:
    told = store.append(held.ref, [a_chunk(store.clock)], fence=held.fence)
    return held.changed(last_seq=told.last_seq, out_bytes=told.out_bytes)


def _missed(store: Store, held: Request) -> Request:
    _appended(store, held)
    return held


def _asked_to_stop(store: Store, held: Request) -> Request:
    store.cancel(held.ref, an_error(store.clock), expires_at=DAY_MS)
    return held


def _reported(store: Store, held: Request) -> Request:
    until = store.clock.now() + LEASE_MS
    store.heartbeat(held.ref, fence=held.fence, lease_until=until, progress=a_snapshot(50, 5))
    return held


def _followed(store: Store, held: Request) -> Request:
    connection = a_connection(store.clock, f"c-{held.id}")
    store.put_connection(connection)
    expires_at = connection.expires_at
    store.subscribe(request_subject(held.ref), connection.id, expires_at=expires_at)
    return held


def _lost(store: Store, held: Request) -> Request:
    store.requeue(held.ref, fence=held.fence, due_at=store.clock.now(), spend=True)
    return held


MEANWHILE: Mapping[str, Callable[[Store, Request], Request]] = {
    "nothing": lambda _store, held: held,
    "nothing, it fails": lambda _store, held: held,
    "an update of its own": _appended,
    "an update it missed": _missed,
    "asked to stop": _asked_to_stop,
    "progress kept": _reported,
    "followed": _followed,
    "lost": _lost,
}


class FinishRules(StoreRules):
    """Rules about `finish`."""

    def test_an_ended_request_says_how(self, store: Store, clock: ManualClock) -> None:
        """Status, outcome, times; lease and worker are gone, the fence stays."""
        held = running(store)
        clock.advance(40)
        answer = completed(store, held, [a_chunk(clock)])
        ended = stored(store, held.ref)
        assert answer.last_seq == ended.last_seq == 2
        assert (ended.status, ended.outcome) == (Status.COMPLETED, {"result": "done"})
        assert (ended.finished_at, ended.expires_at) == (clock.now(), clock.now() + DAY_MS)
        assert (ended.lease_until, ended.worker, ended.fence) == (None, None, held.fence)

    def test_the_last_update_is_the_terminal_one(self, store: Store, clock: ManualClock) -> None:
        """Numbered after the others of the same write."""
        held = running(store)
        store.append(held.ref, [a_chunk(clock)], fence=held.fence)
        completed(store, held, [a_chunk(clock)])
        kinds = [(update.seq, update.kind) for update in store.updates(held.ref)]
        assert kinds == [(1, Kind.CHUNK), (2, Kind.CHUNK), (3, Kind.COMPLETE)]

    @pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
    def test_a_request_ends_with_an_error(
        self, store: Store, clock: ManualClock, status: Status
    ) -> None:
        """The failure joins those before; the newest progress is kept."""
        held = running(store)
        store.finish(
            held.ref,
            status,
            [an_error(clock, "TIMEOUT")],
            fence=held.fence,
            expires_at=clock.now() + DAY_MS,
            failure=a_failure(),
            progress=a_snapshot(30, 3),
        )
        ended = stored(store, held.ref)
        assert (ended.status, ended.failures) == (status, (a_failure(),))
        assert ended.progress == a_snapshot(30, 3)
        assert ended.outcome == an_error(clock, "TIMEOUT").body

    def test_the_first_end_wins(self, store: Store, clock: ManualClock) -> None:
        """A second is LostLease and leaves one terminal update."""
        held = running(store)
        completed(store, held)
        with pytest.raises(LostLease):
            store.finish(
                held.ref, Status.FAILED, [an_error(clock)], fence=held.fence, expires_at=DAY_MS
            )
        assert stored(store, held.ref).status is Status.COMPLETED
        assert [update.kind for update in store.updates(held.ref)] == [Kind.COMPLETE]

    @pytest.mark.parametrize("case", ["status", "no terminal update", "terminal not last"])
    def test_only_a_terminal_write_ends(self, store: Store, clock: ManualClock, case: str) -> None:
        """`status` is terminal and the last of `updates` too, or nothing is written."""
        held = running(store)
        status = Status.RETRYING if case == "status" else Status.COMPLETED
        updates = {
            "status": [an_end(clock)],
            "no terminal update": [a_chunk(clock)],
            "terminal not last": [an_end(clock), a_chunk(clock)],
        }[case]
        with pytest.raises(ValueError, match="terminal"):
            store.finish(held.ref, status, updates, fence=held.fence, expires_at=DAY_MS)
        assert stored(store, held.ref) == held
        assert list(store.updates(held.ref)) == []

    def test_the_settlement_is_applied_once(self, store: Store, clock: ManualClock) -> None:
        """In the write that ends it: not before, not by a second try."""
        store.count([Count(key="open/acme", amount=5)])
        held = running(store, settle=SETTLE)
        store.requeue(held.ref, fence=held.fence, due_at=clock.now(), spend=True)
        held = claimed(store, held.ref)
        assert levels_of(store) == (5, 0)
        completed(store, held)
        assert levels_of(store) == (4, 1)
        with pytest.raises(LostLease):
            completed(store, held)
        store.cancel(held.ref, an_error(clock), expires_at=DAY_MS)
        assert levels_of(store) == (4, 1)

    def test_the_time_it_was_held_is_added_up(self, store: Store, clock: ManualClock) -> None:
        """Over all its runs, without the waits between; of a lost worker until its lease is over.

        So many seconds, and so many updates, a settlement may count.
        """
        per = (Count(key="s", amount=2, per="second"), Count(key="u", per="update"))
        held = running(store, settle=per)
        assert (held.claimed_at, held.ran_ms) == (clock.now(), 0)
        clock.advance(1_500)
        store.append(held.ref, [a_chunk(clock)] * 3, fence=held.fence)
        store.requeue(held.ref, fence=held.fence, due_at=clock.now() + 60_000, spend=True)
        assert stored(store, held.ref).ran_ms == 1_500
        clock.advance(60_000)
        held = claimed(store, held.ref)
        assert (held.claimed_at, held.ran_ms) == (clock.now(), 1_500)
        clock.advance(LEASE_MS + 5_000)
        completed(store, held, lapsed=True)
        assert stored(store, held.ref).ran_ms == 1_500 + LEASE_MS
        counts = [Count(key="s", amount=0), Count(key="u", amount=0)]
        assert store.count(counts).levels == (2 * (1_500 + LEASE_MS) / 1000, 4)

    def test_what_it_put_out_is_added_up(self, store: Store, clock: ManualClock) -> None:
        """The bytes of all its updates, whichever write stores them. So many a settlement may
        count, and of a request that was cancelled those of its end."""
        per = (Count(key="b", amount=2, per="byte"),)
        held = running(store, settle=per)
        piece, end = len('{"data":"piece"}'), len('{"result":"done"}')
        assert store.append(held.ref, [a_chunk(clock)] * 3, fence=held.fence).out_bytes == 3 * piece
        store.requeue(
            held.ref, fence=held.fence, due_at=clock.now(), spend=True, updates=[a_chunk(clock)]
        )
        held = claimed(store, held.ref)
        assert held.out_bytes == 4 * piece
        answer = completed(store, held, [a_chunk(clock)])
        put_out = 5 * piece + end
        assert answer.out_bytes == stored(store, held.ref).out_bytes == put_out
        waiting, error = a_request(clock, "waits", settle=per), an_error(clock)
        store.enqueue(waiting)
        store.cancel(waiting.ref, error, expires_at=clock.now() + DAY_MS)
        assert stored(store, waiting.ref).out_bytes == error.size
        assert store.count([Count(key="b", amount=0)]).levels == (2 * (put_out + error.size),)

    def test_one_that_never_ran_took_no_time(self, store: Store, clock: ManualClock) -> None:
        """A waiting request that is cancelled settles what is for each second as nothing."""
        store.count([Count(key="s", amount=5)])
        request = a_request(clock, settle=(Count(key="s", per="second"),))
        store.enqueue(request)
        store.cancel(request.ref, an_error(clock), expires_at=clock.now() + DAY_MS)
        assert store.count([Count(key="s", amount=0)]).levels == (5,)

    def test_several_are_ended_each_by_itself(self, store: Store, clock: ManualClock) -> None:
        """One that is lost keeps no other from its end, and gives LostLease in its place."""
        held = [running(store, f"r-{number}", settle=SETTLE) for number in range(4)]
        completed(store, held[1])
        store.requeue(held[2].ref, fence=held[2].fence, due_at=clock.now(), spend=True)
        answers = store.finish_all([_ending(clock, one) for one in held])
        assert [type(answer) for answer in answers] == [Held, LostLease, LostLease, Held]
        ended = [stored(store, one.ref).status for one in held]
        assert ended == [
            *(Status.COMPLETED, Status.COMPLETED),
            *(Status.RETRYING, Status.COMPLETED),
        ]
        assert [len(store.updates(one.ref)) for one in held] == [2, 1, 0, 2]
        assert [answer.last_seq for answer in answers if isinstance(answer, Held)] == [2, 2]
        assert levels_of(store) == (0, 3)

    @pytest.mark.parametrize("meanwhile", MEANWHILE)
    def test_what_its_holder_knows_changes_no_end(
        self, store: Store, clock: ManualClock, meanwhile: str
    ) -> None:
        """It ends as one whose holder told nothing, also where that is not how it stands."""
        for name in ("told", "silent"):
            held = running(store, name)
            knows = MEANWHILE[meanwhile](store, held)
            known = knows if name == "told" else None
            ending = replace(
                _ending(clock, held),
                known=known,
                progress=a_snapshot(60, 6),
                failure=a_failure() if meanwhile == "nothing, it fails" else None,
            )
            answer = store.finish_all([ending])[0]
            ended = stored(store, held.ref).changed(ref="", id="", payload={}, digest="")
            updates = list(store.updates(held.ref))
            if name == "told":
                told = answer, ended, updates
        assert (ended, updates) == told[1:]
        if isinstance(answer, Held):
            assert answer == told[0]
        else:
            assert type(answer) is type(told[0]) is LostLease

    def test_the_time_it_was_held_counts_beyond_the_lease_it_was_claimed_with(
        self, store: Store, clock: ManualClock
    ) -> None:
        """Its holder may know that one alone: heartbeats extend it."""
        held = running(store)
        clock.advance(LEASE_MS - 1)
        store.heartbeat(held.ref, fence=held.fence, lease_until=clock.now() + LEASE_MS)
        clock.advance(LEASE_MS - 1)
        store.finish_all([replace(_ending(clock, held), known=held)])
        assert stored(store, held.ref).ran_ms == 2 * (LEASE_MS - 1)

    def test_ending_none_is_nothing(self, store: Store) -> None:
        """An empty list gives no answers."""
        assert list(store.finish_all([])) == []

    def test_a_settlement_has_always_room(self, store: Store) -> None:
        """What ends a request cannot be refused by a full counter."""
        full = Count(key="full", amount=1, limit=1)
        store.count([full])
        completed(store, running(store, settle=(full,)))
        assert store.count([Count(key="full", amount=0)]).levels == (2,)

    def test_a_lapsed_end_needs_a_lapsed_lease(self, store: Store, clock: ManualClock) -> None:
        """LostLease until the lease is over, to the millisecond."""
        held = running(store)
        clock.advance(LEASE_MS - 1)
        with pytest.raises(LostLease):
            completed(store, held, lapsed=True)
        assert stored(store, held.ref) == held
        clock.advance(1)
        completed(store, held, lapsed=True)
        assert stored(store, held.ref).status is Status.COMPLETED

    def test_a_lapsed_end_loses_against_a_heartbeat(self, store: Store, clock: ManualClock) -> None:
        """A holder that came back after the sweeper looked keeps its request."""
        held = running(store)
        clock.advance(LEASE_MS)
        assert [request.ref for request in store.lapsed()] == [held.ref]
        store.heartbeat(held.ref, fence=held.fence, lease_until=clock.now() + LEASE_MS)
        with pytest.raises(LostLease):
            completed(store, held, lapsed=True)
        completed(store, held)


def _ending(clock: ManualClock, held: Request) -> Ending:
    return Ending(
        ref=held.ref,
        status=Status.COMPLETED,
        updates=[a_chunk(clock), an_end(clock)],
        fence=held.fence,
        expires_at=clock.now() + DAY_MS,
    )
