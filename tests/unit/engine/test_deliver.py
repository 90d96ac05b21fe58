"""What a transport's verdicts mean, and what surrounds a send."""

import json
from typing import Any

import pytest

from streamer_core import Context, handler
from streamer_core.engine import deliver
from streamer_core.errors import StoreError, TransportError
from streamer_core.markers import hookimpl
from streamer_core.model import encode
from streamer_core.model.ids import request_subject
from streamer_core.ports import Delivery
from tests.conftest import Lines
from tests.unit.harness import Client, Rig, mirror

EVENT = encode.event(5, "t", "x")


def test_gone_forgets_the_connection_and_tells_observers_once() -> None:
    rig = Rig()
    client = rig.client()
    subject = request_subject("f")
    rig.store.subscribe(subject, client.id, expires_at=client.connection.expires_at)
    client.go()
    assert deliver.send(rig.app.runtime, EVENT, [client.id]) == []
    assert deliver.send(rig.app.runtime, EVENT, [client.id]) == []
    assert rig.store.get_connection(client.id) is None
    assert rig.store.subscribers(subject) == []
    (told,) = rig.seen.of("disconnect")
    assert (told["connection"].id, told["reason"]) == (client.id, "gone")
    rig.app.disconnect(client.id, "closed")
    assert len(rig.seen.of("disconnect")) == 1


def test_a_connection_that_cannot_be_forgotten_now_is_left_to_the_sweeper() -> None:
    rig = Rig()
    client = rig.client()
    client.go()
    rig.store.faults.fail_next("delete_connection", StoreError("no"), times=2)
    assert deliver.send(rig.app.runtime, EVENT, [client.id]) == []
    rig.app.disconnect(client.id)
    rig.clock.advance(7_200_000)
    assert rig.app.sweep().connections == 1


@pytest.mark.parametrize("error", [TransportError("no"), OSError("no")])
@pytest.mark.parametrize("surrounded", [False, True])
def test_a_transport_that_fails_is_busy(error: Exception, surrounded: bool, logs: Lines) -> None:
    rig = Rig(plugins=[Around()] if surrounded else [])
    client = rig.client()
    rig.transport.fail_next(client.id, error)
    assert deliver.send(rig.app.runtime, EVENT, [client.id]) == [client.id]
    assert bool(logs) is isinstance(error, OSError)


def test_too_large_is_logged_and_not_tried_again(logs: Lines) -> None:
    rig = Rig()
    client = rig.client()
    large = encode.event(5, "t", "x" * 200_000)
    assert deliver.send(rig.app.runtime, large, [client.id]) == []
    assert logs[0]["event"] == "message too large"


class Around:
    def __init__(self, verdict: Delivery | None = None) -> None:
        self.verdict = verdict
        self.seen: list[tuple[str, ...]] = []

    @hookimpl(wrapper=True)
    def streamer_deliver(self, pushes: Any) -> Any:
        self.seen += [(push.message.type, *push.connections) for push in pushes]
        found = yield
        return [dict.fromkeys(one, self.verdict) for one in found] if self.verdict else found


def test_a_wrapper_sees_the_message_and_its_connections() -> None:
    around = Around()
    rig = Rig(plugins=[around])
    clients = [rig.client(), rig.client()]
    deliver.send(rig.app.runtime, EVENT, [client.id for client in clients])
    assert around.seen == [("event", clients[0].id, clients[1].id)]
    assert all(client.kinds == ["event"] for client in clients)


def test_a_wrapper_may_answer() -> None:
    rig = Rig(plugins=[Around(Delivery.BUSY)])
    client = rig.client()
    assert deliver.send(rig.app.runtime, EVENT, [client.id]) == [client.id]


def test_a_wrapper_that_breaks_makes_everybody_busy(logs: Lines) -> None:
    class Broken:
        @hookimpl(wrapper=True)
        def streamer_deliver(self) -> Any:
            yield
            raise RuntimeError

    rig = Rig(plugins=[Broken()])
    clients = [rig.client().id, rig.client().id]
    assert deliver.send(rig.app.runtime, EVENT, clients) == clients
    assert logs[0]["event"] == "delivery failed"


def test_a_wrapper_learns_the_requests_metadata() -> None:
    seen: list[tuple[str, Any]] = []

    class Around:
        @hookimpl(wrapper=True)
        def streamer_deliver(self, pushes: Any) -> Any:
            seen.extend((one.message.type, dict(one.message.metadata)) for one in pushes)
            return (yield)

    @handler("talk", mode="async")
    def talk(ctx: Context) -> None:
        ctx.emit("hello")
        ctx.progress(50)

    rig = Rig(talk, plugins=[Around()])
    for mode in ("async", "sync"):
        rig.client().send("talk", {}, metadata={"k": mode}, options={"mode": mode})
    rig.work()
    told = [(kind, metadata["k"]) for kind, metadata in seen]
    assert told == [
        ("chunk", "sync"),
        ("progress", "async"),
        ("chunk", "async"),
        ("complete", "async"),
    ]


def stored_not_sent(rig: Rig) -> Client:
    """Leave a request as a worker that crashed between storing and sending does."""
    client = rig.client()
    client.ask("a", id="r", options={"mode": "async"})
    sends, rig.transport.send = rig.transport.send, lambda *_: Delivery.BUSY  # type: ignore[method-assign]
    rig.store.faults.fail_next("mark_sent", StoreError("crashed"), times=1000)
    assert rig.app.work()
    rig.store.faults.clear()
    rig.transport.send = sends  # type: ignore[method-assign]
    assert not client.inbox
    return client


@handler("a")
def emits(ctx: Context) -> str:
    for number in range(3):
        ctx.emit(number)
    return "done"


def test_what_a_crash_left_unsent_is_sent_by_the_sweep() -> None:
    rig = Rig(emits)
    client = stored_not_sent(rig)
    assert rig.app.sweep().unsent == 0  # its worker may be at it
    rig.clock.advance(5001)
    assert rig.app.sweep().unsent == 1
    assert [message["seq"] for message in client.inbox] == [1, 2, 3, 4]
    assert mirror(client.inbox).output == [0, 1, 2]
    assert rig.app.sweep().unsent == 0


def test_the_sweep_goes_on_where_a_busy_client_stopped_it() -> None:
    rig = Rig(emits)
    client = stored_not_sent(rig)
    rig.clock.advance(5001)
    rig.transport.busy_next(client.id)
    assert rig.app.sweep().unsent == 0
    assert rig.app.sweep().unsent == 1
    assert mirror(client.inbox).terminal is not None


def test_unsent_to_nobody_is_done_with() -> None:
    rig = Rig(emits)
    client = stored_not_sent(rig)
    rig.app.disconnect(client.id)
    rig.clock.advance(5001)
    assert rig.app.sweep().unsent == 1
    assert rig.stored(client.ref("r")).sent_seq == 4
    assert not client.inbox


def test_more_than_a_page_is_sent() -> None:
    @handler("a")
    def many(ctx: Context) -> None:
        for number in range(450):
            ctx.emit(number)

    rig = Rig(many)
    client = stored_not_sent(rig)
    rig.clock.advance(5001)
    rig.app.sweep()
    assert mirror(client.inbox).output == list(range(450))


def test_what_is_sent_is_ascii_json() -> None:
    assert json.loads(encode.event(5, "t", "\ud800é").data.decode("ascii"))["data"] == "\ud800é"
