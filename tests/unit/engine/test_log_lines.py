"""Every line within a message's or a request's handling has its ids, and those of its trace."""

import threading
from collections.abc import Generator
from typing import Any

import pytest
import structlog

from streamer_core import Context, handler
from streamer_core.context import ContinueLater
from streamer_core.errors import StoreError, TransportError
from streamer_core.handlers import declared
from streamer_core.log import get_logger
from streamer_core.markers import hookimpl
from streamer_core.model.connection import Handshake
from tests.conftest import Lines
from tests.unit.harness import Client, Rig

IDS = ("request_id", "ref", "connection_id", "tenant")
TRACE = {"trace_id": "t-1", "span_id": "s-1"}


class Tracer:
    """Binds ids as a tracing plugin does: around the handler, and no longer."""

    @hookimpl(wrapper=True)
    def streamer_execute(self) -> Generator[None, Any, Any]:
        with structlog.contextvars.bound_contextvars(**TRACE):
            return (yield)


class Loud:
    """Logs a line of its own, and then fails, wherever it is told of something."""

    def _fail(self) -> None:
        structlog.get_logger().info("a plugin's line")
        raise OSError

    @hookimpl
    def streamer_on_request(self) -> None:
        self._fail()

    @hookimpl
    def streamer_on_transition(self) -> None:
        self._fail()

    @hookimpl
    def streamer_on_update(self) -> None:
        self._fail()

    @hookimpl
    def streamer_on_dead_letter(self) -> None:
        self._fail()

    @hookimpl
    def streamer_on_disconnect(self) -> None:
        self._fail()


@handler("quick")
def quick(payload: dict[str, Any], ctx: Context) -> None:
    ctx.log.info("the handler's line")
    structlog.get_logger().info("a library's line")
    if "progress" in payload:
        ctx.progress(50)
    raise ValueError("broken")


@handler("long", estimated="1m", retry={"max_attempts": 1})
def long(payload: dict[str, Any], ctx: Context) -> None:
    if payload.get("later") and ctx.restored is None:
        raise ContinueLater("state", 0)
    quick(payload, ctx)


@pytest.fixture
def rig(logs: Lines) -> Rig:
    return Rig(quick, long, plugins=[Tracer(), Loud()])


@pytest.fixture
def ann(rig: Rig) -> Client:
    return rig.client()


def expect(lines: Lines, ann: Client, request_id: str) -> None:
    assert lines
    ids = (request_id, ann.ref(request_id), ann.id, "acme")
    for line in lines:
        assert tuple(line.get(name) for name in IDS) == ids, line


def test_a_sync_request(ann: Client, logs: Lines) -> None:
    ann.send("quick", {}, id="r-1")
    expect(logs, ann, "r-1")
    events = [line["event"] for line in logs]
    assert events == [
        "a plugin's line",
        "observer failed",
        "the handler's line",
        "a library's line",
        "handler failed",
    ]
    for line in logs[2:]:
        assert {name: line.get(name) for name in TRACE} == TRACE, line
    assert not TRACE.keys() & logs[0].keys()


def test_a_queued_request_in_its_worker(rig: Rig, ann: Client, logs: Lines) -> None:
    ann.send("long", {"later": True}, id="r-1")
    rig.work()
    expect(logs, ann, "r-1")
    (failed,) = [line for line in logs if line["event"] == "handler failed"]
    assert {name: failed.get(name) for name in TRACE} == TRACE
    hooks = {line["hook"] for line in logs if line["event"] == "observer failed"}
    assert hooks == {
        "streamer_on_request",
        "streamer_on_transition",
        "streamer_on_update",
        "streamer_on_dead_letter",
    }


def test_requests_that_are_settled_together(rig: Rig, ann: Client, logs: Lines) -> None:
    for name in ("r-1", "r-2"):
        ann.send("long", {}, id=name)
    ran = [rig.app.execute(one) for one in rig.app.claim(2)]
    logs.clear()
    rig.app.settle(ran)
    for name in ("r-1", "r-2"):
        expect([line for line in logs if line.get("request_id") == name], ann, name)
    assert {line.get("request_id") for line in logs} == {"r-1", "r-2"}
    assert all(line["trace_id"] == "t-1" for line in logs)


def test_the_pulse(rig: Rig, ann: Client, logs: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at a run from a thread of its own, whose lines are the run's."""

    def fail(*_: Any) -> None:
        raise TransportError("broken")

    @handler("waits")
    def waits(ctx: Context) -> None:
        ctx.progress(50)
        monkeypatch.setattr(rig.transport, "send_many", fail)
        (running,) = rig.pulse.running
        thread = threading.Thread(target=running.inside, args=(running.tick, 0.0))
        thread.start()
        thread.join()

    rig.app.registry.add(declared(waits)[0])
    ann.send("waits", {}, id="r-1")
    (line,) = [line for line in logs if line["event"] == "delivery failed"]
    expect([line], ann, "r-1")
    assert line["trace_id"] == "t-1"


def test_what_the_store_fails_at(rig: Rig, ann: Client, logs: Lines) -> None:
    rig.store.faults.fail_next("enqueue", StoreError("broken"))
    ann.send("long", {}, id="r-1")
    expect(logs, ann, "r-1")
    assert logs[-1]["event"] == "store failed"


def test_the_sweeper_and_an_operator(rig: Rig, ann: Client, logs: Lines) -> None:
    for name in ("lost", "cancelled"):
        ann.send("long", {}, id=name)
    rig.claim(ann.ref("lost"))
    rig.clock.advance(31_000)
    logs.clear()
    rig.app.sweep()
    expect(logs, ann, "lost")
    logs.clear()
    rig.app.cancel(ann.ref("cancelled"))
    expect(logs, ann, "cancelled")


def test_connections(rig: Rig, ann: Client, logs: Lines) -> None:
    rig.app.disconnect(ann.id)
    assert {(line["connection_id"], line["tenant"]) for line in logs} == {(ann.id, "acme")}
    logs.clear()
    rig.store.faults.fail_next("put_connection", StoreError("broken"))
    with pytest.raises(Exception, match="could not be stored"):
        rig.app.connect(Handshake(connection_id="c-9", token="acme/ann/"))
    assert [line["connection_id"] for line in logs] == ["c-9"]


def test_a_frame_that_is_no_message(rig: Rig, ann: Client, logs: Lines) -> None:
    class Fails:
        @hookimpl
        def streamer_on_metric(self, metric: Any) -> None:
            raise OSError

    rig.plug(Fails())
    ann.raw(b"nonsense")
    assert {(line["connection_id"], line["tenant"]) for line in logs} == {(ann.id, "acme")}
    assert not any("request_id" in line for line in logs)


def test_nothing_is_left_for_the_next(ann: Client, logs: Lines) -> None:
    ann.send("quick", {}, id="r-1")
    logs.clear()
    get_logger().info("later")
    assert logs == [{"event": "later", "level": "info"}]
