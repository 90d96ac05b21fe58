"""The sweeper finds what everybody else has missed; twice, and two at once, is harmless."""

from typing import Any

import pytest

from streamer_core import Context, handler
from streamer_core.errors import StoreError
from streamer_core.markers import hookimpl
from streamer_core.model.request import Status
from streamer_core.ports import Change, ChangeKind
from tests.conftest import Lines
from tests.unit.harness import Client, Rig, code_of, interrupting, mirror


@handler("a", mode="async", retry={"max_attempts": 2})
def function(payload: dict[str, Any], ctx: Context) -> str:
    ctx.emit(ctx.attempt)
    return "done"


def queued(rig: Rig, request_id: str = "r", **fields: Any) -> Client:
    client = rig.client()
    client.ask("a", id=request_id, **fields)
    return client


def abandoned() -> tuple[Rig, Client]:
    """Leave a request with a worker that was not heard of again."""
    rig = Rig(function)
    client = queued(rig)
    rig.claim(client.ref("r"))
    rig.clock.advance(30_000)
    return rig, client


def test_nothing_to_do() -> None:
    rig = Rig(function)
    queued(rig)
    rig.work()
    assert not rig.app.sweep()


def test_a_lapsed_lease_costs_an_attempt() -> None:
    rig, client = abandoned()
    swept = rig.app.sweep()
    assert swept.lapsed == 1
    request = rig.stored(client.ref("r"))
    assert (request.status, request.spent) == (Status.RETRYING, 1)
    assert (request.failures[0].kind, request.failures[0].worker) == ("WorkerLost", "elsewhere")
    (told,) = client.of("progress")
    assert told["metadata"] == {"retrying": True, "next_attempt_at": request.due_at}
    rig.clock.advance(1000)
    assert rig.work() == 1
    assert client.inbox[-1]["result"] == "done"


def test_a_lease_that_holds_is_left_alone() -> None:
    rig = Rig(function)
    client = queued(rig)
    rig.claim(client.ref("r"))
    rig.clock.advance(29_999)
    assert rig.app.sweep().lapsed == 0


def test_the_last_attempt_fails_for_good() -> None:
    rig, client = abandoned()
    rig.app.sweep()
    rig.clock.advance(1000)
    rig.claim(client.ref("r"))
    rig.clock.advance(30_000)
    rig.app.sweep()
    assert rig.stored(client.ref("r")).status is Status.FAILED
    (end,) = client.of("error")
    assert (code_of(end), end["attempt"], end["terminal"]) == ("PROCESSING_FAILED", 2, True)
    (dead,) = rig.seen.of("dead_letter")
    assert dead["failure"].kind == "WorkerLost"


def test_the_second_round_finds_nothing() -> None:
    rig, client = abandoned()
    assert rig.app.sweep().lapsed == 1
    before = rig.stored(client.ref("r"))
    assert rig.app.sweep().lapsed == 0
    assert rig.stored(client.ref("r")) == before
    assert len(client.inbox) == 1


@pytest.mark.parametrize("verb", ["requeue", "finish"])
def test_two_sweepers_race(verb: str) -> None:
    rig, client = abandoned()
    other = Rig(function, beside=rig)
    if verb == "finish":
        client.send("streamer.cancel", {"request_id": "r"})
    rounds: list[int] = []
    with interrupting(rig.store, verb, lambda: rounds.append(other.app.sweep().lapsed)):
        rounds.append(rig.app.sweep().lapsed)
    assert rounds == [1, 0]
    assert rig.stored(client.ref("r")).spent == (1 if verb == "requeue" else 0)
    assert len(client.of("error")) == (0 if verb == "requeue" else 1)


def test_a_worker_that_comes_back_in_time_keeps_its_request() -> None:
    rig, client = abandoned()
    request = rig.stored(client.ref("r"))

    def beat() -> None:
        rig.store.heartbeat(request.ref, fence=request.fence, lease_until=rig.clock.now() + 30_000)

    with interrupting(rig.store, "requeue", beat):
        assert rig.app.sweep().lapsed == 0
    assert rig.stored(client.ref("r")).status is Status.PROCESSING


def test_more_than_a_page_of_lapsed() -> None:
    rig = Rig(function)
    client = rig.client()
    for number in range(230):
        client.ask("a", id=f"r-{number}")
        rig.claim(client.ref(f"r-{number}"))
    rig.clock.advance(30_000)
    assert rig.app.sweep().lapsed == 230


def test_what_is_due_is_dispatched_and_what_soon_will_be_is_scheduled() -> None:
    rig = Rig(function)
    client = rig.client(scopes="streamer:priority")
    client.ask("a", id="now", options={"priority": "high"})
    client.ask("a", id="soon", options={"delay_ms": 59_000})
    client.ask("a", id="later", options={"delay_ms": 120_000})
    rig.clock.advance(1)
    assert rig.app.sweep().woken == 2
    assert [change.ref for change in rig.waker.dispatched] == [client.ref("now")]
    assert [change.ref for change in rig.waker.scheduled] == [client.ref("soon")]


def test_a_waker_that_breaks_hinders_no_other_duty() -> None:
    class Broken:
        @hookimpl
        def streamer_dispatch(self) -> bool:
            raise RuntimeError

    rig, client = abandoned()
    gone = rig.client("bob", expires=rig.clock.now() + 1)
    queued(rig, "s")
    rig.plug(Broken())
    rig.clock.advance(1)
    swept = rig.app.sweep()
    assert (swept.lapsed, swept.connections) == (1, 1)
    assert rig.store.get_connection(gone.id) is None
    assert client.of("progress")


def test_expired_connections_are_forgotten() -> None:
    rig = Rig(function)
    client = rig.client(expires=rig.clock.now() + 1000)
    rig.clock.advance(1000)
    assert rig.app.sweep().connections == 1
    (told,) = rig.seen.of("disconnect")
    assert (told["connection"].id, told["reason"]) == (client.id, "expired")
    assert rig.app.sweep().connections == 0


def test_expired_connections_are_told_and_closed() -> None:
    rig = Rig(function)
    client, gone = (
        rig.client(expires=rig.clock.now() + 1000),
        rig.client("bob", expires=rig.clock.now() + 1000),
    )
    gone.go()
    rig.clock.advance(1000)
    assert rig.app.sweep().connections == 2
    (goodbye,) = client.of("goodbye")
    assert (goodbye["reason"], goodbye["reconnect_after_ms"]) == ("expired", 0)
    assert rig.transport.closed == {client.id: (1001, "expired")}


def test_a_transport_that_fails_keeps_no_connection(logs: Lines) -> None:
    rig = Rig(function)
    client = rig.client(expires=rig.clock.now() + 1000)
    rig.clock.advance(1000)
    rig.transport.fail_next(client.id)
    assert rig.app.sweep().connections == 1
    assert [line["event"] for line in logs] == ["transport failed"]
    assert rig.store.delete_connection(client.id) is None


def test_open_connections_are_measured() -> None:
    rig = Rig(function)
    rig.client()
    rig.client("bob", expires=rig.clock.now() + 1000)
    rig.app.sweep()
    rig.clock.advance(1000)
    rig.app.sweep()
    assert [
        (told["metric"].value, told["metric"].unit)
        for told in rig.seen.of("metric")
        if told["metric"].name == "connection.stored"
    ] == [(2, "gauge"), (1, "gauge")]


class Duty:
    """Counts the rounds, and fails."""

    rounds = 0

    @hookimpl
    def streamer_on_sweep(self) -> None:
        self.rounds += 1
        raise RuntimeError("no")


def test_plugins_sweep_after_it_and_hinder_no_duty(logs: Lines) -> None:
    duty = Duty()
    rig = Rig(function, plugins=[duty])
    rig.client(expires=rig.clock.now() + 1000)
    rig.clock.advance(1000)
    assert rig.app.sweep().connections == 1
    assert duty.rounds == 1
    assert [line["event"] for line in logs] == ["observer failed"]


def test_what_has_expired_is_purged() -> None:
    rig = Rig(function)
    client = queued(rig)
    rig.work()
    rig.clock.advance(7 * 86_400_000)
    assert rig.app.sweep().purged >= 1
    assert client.ref("r") not in rig.store.data.rows
    assert rig.app.sweep().purged == 0


def test_a_purge_takes_all_there_is_but_only_so_much_time() -> None:
    rig = Rig(function)
    for number in range(3500):
        rig.store.put_value(str(number), 0, expires_at=rig.clock.now() + 1)
    rig.clock.advance(1)
    with interrupting(rig.store, "purge", lambda: rig.clock.advance(20_000)):
        assert rig.app.sweep().purged == 1000
    assert rig.app.sweep().purged == 2500


def test_no_duty_ends_with_its_first_hundred() -> None:
    rig = Rig(function)
    for number in range(150):
        client = rig.client(expires=rig.clock.now() + 40_000)
        client.ask("a", id=str(number))
        rig.claim(client.ref(str(number)), lease_ms=90_000)
        client.ask("streamer.cancel", {"request_id": str(number)})
    rig.clock.advance(31_000)
    assert rig.app.sweep().cancelled == 150
    rig.clock.advance(10_000)
    assert rig.app.sweep().connections == 150


def test_what_cannot_be_sent_holds_up_no_round() -> None:
    rig = Rig(function)
    client = rig.client()
    for number in range(120):
        client.ask("a", id=str(number))
    rig.transport.busy_next(client.id, 1_000_000)
    for number in range(120):
        rig.app.cancel(client.ref(str(number)))
    rig.clock.advance(5_001)
    assert rig.app.sweep().unsent == 0
    rig.transport.busy_next(client.id, 0)
    assert rig.app.sweep().unsent == 120


def test_what_cannot_be_sent_keeps_nothing_behind_it_from_being_sent() -> None:
    rig = Rig(function)
    stuck, client = rig.client(), rig.client("bob")
    for number in range(120):
        stuck.ask("a", id=str(number))
    client.ask("a", id="r")
    for one in (stuck, client):
        rig.transport.busy_next(one.id, 1_000_000)
    for ref in [*(stuck.ref(str(number)) for number in range(120)), client.ref("r")]:
        rig.app.cancel(ref)
    rig.clock.advance(5_001)
    rig.transport.busy_next(client.id, 0)
    assert rig.app.sweep().unsent == 1
    assert [code_of(message) for message in client.inbox] == ["CANCELLED"]


def test_what_is_not_finished_never_expires() -> None:
    rig = Rig(function)
    client = queued(rig, options={"delay_ms": 29 * 86_400_000})
    rig.clock.advance(28 * 86_400_000)
    rig.app.sweep()
    assert rig.stored(client.ref("r")).status is Status.PENDING


def test_a_store_that_fails_stops_the_round_and_the_next_goes_on() -> None:
    rig, client = abandoned()
    rig.store.faults.fail_next("requeue", StoreError("x"))
    with pytest.raises(StoreError):
        rig.app.sweep()
    assert rig.app.sweep().lapsed == 1
    assert rig.stored(client.ref("r")).status is Status.RETRYING


def test_chunks_of_a_lost_worker_are_kept_until_the_restart() -> None:
    @handler("a", mode="async")
    def dies(ctx: Context) -> str:
        ctx.emit(f"attempt {ctx.attempt}")
        if ctx.attempt == 1:
            ctx.checkpoint("here")
            ctx.emit("lost")
            rig.beat(50)
            rig.clock.advance(30_000)
            rig.app.sweep()
            ctx.checkpoint("never")
        assert ctx.restored == "here"
        return "done"

    rig = Rig(dies)
    client = rig.client()
    client.ask("a", id="r")
    rig.work()
    rig.clock.advance(1000)
    rig.work()
    assert mirror(client.inbox).output == ["attempt 1", "attempt 2"]


# -- the change feed


def test_changes_wake() -> None:
    rig = Rig(function)
    now = rig.clock.now()
    for due_at in (now - 5, now, now + 5):
        rig.app.wake(Change(kind=ChangeKind.DUE, ref="f", due_at=due_at))
    assert [change.due_at for change in rig.waker.dispatched] == [now - 5, now]
    assert [change.due_at for change in rig.waker.scheduled] == [now + 5]


def test_a_feed_leads_from_a_message_to_its_end() -> None:
    rig = Rig(function)
    feed = rig.store.open_feed()
    queued(rig)
    (change,) = feed.get(5)
    rig.app.wake(change)
    rig.app.wake(change)
    assert [one.ref for one in rig.waker.dispatched] == [change.ref] * 2
    assert rig.app.run(change.ref)
    assert not rig.app.run(change.ref)


def test_what_somebody_else_ended_is_sent() -> None:
    rig = Rig(function)
    client = queued(rig)
    feed = rig.store.open_feed()
    rig.transport.busy_next(client.id)
    rig.app.cancel(client.ref("r"))
    assert not client.inbox
    (change,) = feed.get(5)
    assert change.kind is ChangeKind.ENDED
    rig.app.wake(change)
    rig.app.wake(change)
    assert [code_of(message) for message in client.inbox] == ["CANCELLED"]
