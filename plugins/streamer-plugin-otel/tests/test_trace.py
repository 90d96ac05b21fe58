"""The spans of a request, from its message to its last push."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from streamer_plugin_otel import OtelPlugin
from streamer_plugin_otel.carrier import WELL_FORMED
from streamer_plugin_otel.tracing import Tracing
from structlog.contextvars import get_contextvars

from streamer_core import Context, Reject, Streamer, handler
from streamer_core.errors import RateLimited, Throttled
from streamer_core.handlers import declared
from streamer_core.markers import hookimpl
from streamer_core.model.connection import Handshake
from streamer_core.model.request import Status
from streamer_core.ports import Clock, Store
from streamer_core.settings import Settings
from streamer_core.testing import ManualClock, MemoryTransport
from tests.conftest import Lines
from tests.unit.harness import Client, Rig, Tokens, code_of

CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, CALLER = int(CLIENT.split("-")[1], 16), int(CLIENT.split("-")[2], 16)


@handler("flaky", mode="async", retry={"backoff": "1s"})
def flaky(payload: dict[str, Any], ctx: Context) -> str:
    with trace.get_tracer("handler").start_as_current_span("own"):
        ctx.emit({"attempt": ctx.attempt})
        ctx.log.info("working", bound=get_contextvars())
    if ctx.attempt == 1:
        raise OSError("secret-payload")
    return "done"


@handler("echo")
def echo(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    ctx.emit(1)
    with trace.get_tracer("handler").start_as_current_span("own"):
        if payload.get("fail"):
            raise OSError("secret-payload")
        if payload.get("reject"):
            raise Reject("echo.no", "secret-payload")
    return payload


@handler("once", mode="sync", idempotent=True)
def once() -> int:
    return 1


@handler("later", mode="async")
def later(ctx: Context) -> str:
    return "done" if ctx.restored else ctx.continue_later({"step": 1})


@handler("gives-up", mode="async", retry={"max_attempts": 1})
def gives_up() -> None:
    raise ValueError("secret-payload")


def rig_of(*plugins: object, beside: Rig | None = None) -> Rig:
    sources = (flaky, echo, once, later, gives_up)
    rig = Rig(*sources, plugins=plugins, beside=beside, chunk_buffer=1)
    otel = OtelPlugin(OtelPlugin.Settings(), rig.app)
    rig.plug(otel)
    otel.streamer_startup()
    return rig


@pytest.fixture
def rig(spans: Any) -> Rig:
    return rig_of()


def run_flaky(rig: Rig, **message: Any) -> Client:
    client = rig.client()
    client.send("flaky", {"x": "secret-payload"}, id="r", **message)
    assert rig.work() == 1
    rig.clock.advance(1_000)
    assert rig.work() == 1
    assert client.kinds[-1] == "complete"
    return client


# -- one trace


@pytest.mark.parametrize("traced", [True, False])
def test_one_trace_from_the_message_to_the_last_push(rig: Rig, spans: Any, traced: bool) -> None:
    run_flaky(rig, **({"metadata": {"traceparent": CLIENT}} if traced else {}))
    assert len(spans.traces) == 1
    root = spans.one("flaky")
    if traced:
        assert spans.traces == {TRACE}
        assert root.parent.span_id == CALLER
    else:
        assert root.parent is None
    assert spans.parent(spans.one("send flaky")) == "flaky"
    first, second = spans.named("process flaky")
    sent = spans.one("send flaky").context.span_id
    assert first.parent.span_id == second.parent.span_id == sent
    assert [one.links[0].context.span_id for one in (first, second)] == [sent, sent]
    owns = spans.named("own")
    assert [one.parent.span_id for one in owns] == [first.context.span_id, second.context.span_id]
    pushes = [(one.name, one.parent.span_id) for one in spans.all if one.name.startswith("push")]
    assert pushes == [
        ("push chunk", first.context.span_id),
        ("push progress", first.context.span_id),
        ("push restart", spans.one("send flaky").context.span_id),
        ("push chunk", second.context.span_id),
        ("push complete", second.context.span_id),
    ]


def test_the_spans_say_what_they_are(rig: Rig, spans: Any) -> None:
    run_flaky(rig)
    first, second = spans.named("process flaky")
    assert dict(first.attributes) == {
        "messaging.system": "streamer",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": "flaky",
        "streamer.tenant": "acme",
        "streamer.attempt": 1,
        "streamer.outcome": "failed",
        "error.type": "OSError",
    }
    assert first.status.status_code is StatusCode.ERROR
    assert second.attributes["streamer.outcome"] == "completed"
    kinds = {one.name: one.kind for one in spans.all}
    assert kinds["flaky"] is SpanKind.SERVER
    assert kinds["send flaky"] is SpanKind.PRODUCER
    assert kinds["process flaky"] is SpanKind.CONSUMER
    assert kinds["push complete"] is SpanKind.CLIENT
    assert spans.one("send flaky").attributes["streamer.created"] is True


def test_a_worker_that_died_leaves_the_trace_whole(rig: Rig, spans: Any) -> None:
    """Its span is lost with it; the sweeper's push and the next attempt have the same trace."""
    client = rig.client()
    client.send("flaky", {}, id="r", metadata={"traceparent": CLIENT})
    rig.claim(client.ref("r"))
    rig.clock.advance(60_000)
    elsewhere = rig_of(beside=rig)
    assert elsewhere.app.sweep().lapsed == 1
    elsewhere.clock.advance(60_000)
    assert elsewhere.work() == 1
    assert spans.traces == {TRACE}
    sent = spans.one("send flaky").context.span_id
    swept, *_ = spans.named("push progress")
    attempt = spans.one("process flaky")
    assert attempt.attributes["streamer.attempt"] == 2
    assert [one.parent.span_id for one in (swept, attempt)] == [sent, sent]


def test_a_redrive_is_a_trace_of_its_own_linked_to_the_old(rig: Rig, spans: Any) -> None:
    client = rig.client()
    client.send("gives-up", {}, id="r")
    rig.work()
    (old,) = spans.traces
    rig.app.redrive(client.ref("r"))
    rig.work()
    first, again = spans.named("send gives-up")
    assert again.context.trace_id != old
    assert again.parent is None
    assert [link.context.span_id for link in again.links] == [first.context.span_id]
    attempts = spans.named("process gives-up")
    sent = [first.context.span_id, again.context.span_id]
    assert [one.parent.span_id for one in attempts] == sent


def test_a_continuation_goes_on_in_the_trace(rig: Rig, spans: Any) -> None:
    rig.client().send("later", {}, id="r")
    assert rig.work() == 2
    assert len(spans.traces) == 1
    outcomes = [one.attributes["streamer.outcome"] for one in spans.named("process later")]
    assert outcomes == ["continued", "completed"]


# -- answered at once


def test_a_sync_request_is_one_span_with_its_handlers_and_pushes_under_it(
    rig: Rig, spans: Any
) -> None:
    rig.client().send("echo", {"x": 1}, metadata={"traceparent": CLIENT})
    assert spans.tree == [("push chunk", "echo"), ("own", "echo"), ("echo", "not here")]
    root = spans.one("echo")
    assert (root.parent.span_id, root.context.trace_id) == (CALLER, TRACE)
    assert root.attributes["streamer.outcome"] == "completed"


@pytest.mark.parametrize(
    ("asked", "outcome", "error"),
    [("fail", "failed", "OSError"), ("reject", "rejected", "echo.no")],
)
def test_how_a_sync_request_failed_is_told(
    rig: Rig, spans: Any, asked: str, outcome: str, error: str
) -> None:
    rig.client().send("echo", {asked: True})
    root = spans.one("echo")
    assert root.attributes["streamer.outcome"] == outcome
    assert root.attributes["error.type"] == error
    assert (root.status.status_code is StatusCode.ERROR) is (outcome == "failed")


def test_an_idempotent_request_is_stored_and_run_within_its_message(rig: Rig, spans: Any) -> None:
    client = rig.client()
    client.send("once", {}, id="r")
    client.send("once", {}, id="r")
    assert spans.tree == [
        ("send once", "once"),
        ("process once", "send once"),
        ("once", None),
        ("send once", "once"),
        ("once", None),
    ]
    assert [one.attributes["streamer.created"] for one in spans.named("send once")] == [True, False]


# -- what goes wrong


def test_a_refusal_is_told(spans: Any) -> None:
    class Limit:
        @hookimpl
        def streamer_limit(self, request: Any) -> None:
            if request is not None:
                raise RateLimited("no")

    assert code_of(rig_of(Limit()).client().ask("echo", {})) == "RATE_LIMITED"
    root = spans.one("echo")
    assert root.attributes["streamer.outcome"] == "refused"
    assert root.attributes["error.type"] == "RATE_LIMITED"
    assert root.status.status_code is StatusCode.UNSET


def test_a_request_that_could_not_be_stored_is_told(rig: Rig, spans: Any, logs: Lines) -> None:
    rig.store.faults.fail_next("enqueue", Throttled("slow down"))
    assert code_of(rig.client().ask("flaky", {})) == "STORAGE_ERROR"
    sent = spans.one("send flaky")
    assert sent.attributes["error.type"] == "Throttled"
    assert sent.status.status_code is StatusCode.ERROR


def test_a_client_that_is_gone_is_counted(rig: Rig, spans: Any) -> None:
    client = rig.client()
    client.send("gives-up", {}, id="r")
    client.go()
    rig.work()
    push = spans.one("push error")
    assert (
        push.attributes["streamer.push.connections"],
        push.attributes["streamer.push.gone"],
    ) == (
        1,
        1,
    )


def test_on_lambda_the_spans_say_what_woke_the_function(
    spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "router")
    run_flaky(rig_of())
    said = [
        (one.name, one.attributes["faas.trigger"], one.attributes["faas.coldstart"])
        for one in spans.all
        if "faas.trigger" in one.attributes
    ]
    first, *more = said
    assert first == ("flaky", "http", True)
    assert more == [("process flaky", "pubsub", False)] * 2


def test_what_nobody_follows_is_no_push(rig: Rig, spans: Any) -> None:
    client = rig.client()
    client.send("gives-up", {}, id="r")
    client.send("streamer.unsubscribe", {"request_id": "r"})
    client.send("gives-up", {}, id="s")
    rig.app.settle([rig.app.execute(one) for one in rig.app.claim(2)])
    assert [one.attributes["streamer.push.connections"] for one in spans.named("push error")] == [1]


def test_a_handler_that_hangs_is_told_when_it_is_given_up(spans: Any, logs: Lines) -> None:
    go_on, running = threading.Event(), threading.Event()

    @handler("hangs", mode="async", timeout="1s", retry={"max_attempts": 1})
    def hangs() -> None:
        running.set()
        go_on.wait(20)

    rig = rig_of()
    for spec in declared(hangs):
        rig.app.registry.add(spec)
    rig.client().send("hangs", {})
    thread = threading.Thread(target=rig.work)
    thread.start()
    assert running.wait(20)
    rig.beat(2_000)
    attempt = spans.one("process hangs")
    assert attempt.attributes["streamer.outcome"] == "abandoned"
    assert attempt.status.status_code is StatusCode.ERROR
    assert spans.parent(spans.one("push error")) == "process hangs"
    go_on.set()
    thread.join(20)
    assert len(spans.named("process hangs")) == 1


@pytest.mark.parametrize("bad", ["nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", ""])
def test_a_context_that_is_none_begins_a_trace(rig: Rig, spans: Any, bad: str) -> None:
    run_flaky(rig, metadata={"traceparent": bad})
    assert len(spans.traces) == 1
    assert spans.one("flaky").parent is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *((name, 'a=1,x\n{"event": "forged"}') for name in ("tracestate", "baggage")),
        *((name, "forged words") for name in ("traceparent", "tracestate", "baggage")),
        *((name, "forged=x\x7f") for name in ("tracestate", "baggage")),
        ("tracestate", "forged=1,Forged=2"),
        ("tracestate", "forged=1,forged=2"),
        ("tracestate", f"forged={'x' * 257}"),
        ("tracestate", f"{'f' * 257}=x"),
        ("tracestate", ",".join(f"k{n}=forged" for n in range(33))),
        ("tracestate", ",".join(f"k{n}={'x' * 256}" for n in range(32))),
        ("baggage", 'a=1,forged="2"'),
        ("baggage", "a=1;forged words"),
        ("baggage", f"forged={'x' * 4090}"),
        ("baggage", ",".join(f"k{n}={'x' * 4000}" for n in range(3))),
        ("baggage", ",".join(f"k{n}=forged" for n in range(181))),
        ("traceparent", "forged" * 100),
    ],
)
def test_a_client_writes_nothing_in_the_log(
    rig: Rig, spans: Any, caplog: pytest.LogCaptureFixture, name: str, words: str
) -> None:
    """The propagators warn of what they cannot read, in its own words."""
    caplog.set_level("INFO", "opentelemetry")
    run_flaky(rig, metadata={"traceparent": CLIENT, name: words})
    assert len(spans.traces) == 1
    assert caplog.records == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tracestate", "rojo=00f067aa0ba902b7, t61rcwkgmze@my-sys=a b~,,c/*_=1"),
        ("tracestate", ",".join(f"{'k' * 100}{n}={'x' * 100}" for n in range(32))),
        ("baggage", "k=a%20b;p=1;q, l="),
        ("baggage", ",".join(f"k{n}={'x' * 2000}" for n in range(4))),
    ],
)
def test_what_is_well_formed_is_read(
    caplog: pytest.LogCaptureFixture, name: str, words: str
) -> None:
    context = propagate.extract({"traceparent": CLIENT, name: words}, getter=WELL_FORMED)
    state = trace.get_current_span(context).get_span_context().trace_state
    names = [one.strip().partition("=")[0] for one in words.split(",") if one]
    assert list(state if name == "tracestate" else baggage.get_all(context)) == names
    assert caplog.records == []


# -- what is in them


def test_no_payload_no_id_and_no_text_of_an_error_is_in_any_span(rig: Rig, spans: Any) -> None:
    values: list[set[str]] = []
    for n in range(3):
        for user in ("ann", "bob"):
            client = rig.client(f"{user}{n}")
            client.send("echo", {"secret": f"secret-payload-{n}"}, id=f"id-{n}")
            client.send("echo", {"fail": True}, id=f"f-{n}", metadata={"k": f"secret-{n}"})
            client.send("gives-up", {"x": f"secret-payload-{n}"}, id=f"q-{n}")
        rig.work()
        ours = [one for one in spans.all if one.name != "own"]
        values.append({str((one.name, pair)) for one in ours for pair in one.attributes.items()})
        assert "secret" not in str([json.loads(one.to_json()) for one in ours])
    assert values[0] == values[2], "three times as many requests, no other value"


# -- contexts


def test_the_application_may_trace_around_it(rig: Rig, spans: Any) -> None:
    with trace.get_tracer("app").start_as_current_span("around"):
        rig.client().send("echo", {})
    assert spans.parent(spans.one("echo")) == "around"


def test_what_is_not_sampled_is_not_made_but_carried_on(rig: Rig, spans: Any) -> None:
    client = run_flaky(rig, metadata={"traceparent": CLIENT[:-1] + "0"})
    assert spans.all == []
    kept = rig.stored(client.ref("r")).metadata["traceparent"]
    assert kept.split("-")[1] == CLIENT.split("-")[1]
    assert kept.endswith("-00")


def test_a_sampler_of_the_applications_own_is_heeded(spans: Any) -> None:
    spans.provider.sampler = ALWAYS_OFF
    run_flaky(rig_of())
    assert spans.all == []


def test_the_log_lines_of_a_request_have_its_ids(rig: Rig, spans: Any, logs: Lines) -> None:
    run_flaky(rig)
    first, second = spans.named("process flaky")
    trace_id = f"{first.context.trace_id:032x}"
    ids = [
        {"trace_id": trace_id, "span_id": f"{attempt.context.span_id:016x}"}
        for attempt in (first, second)
    ]
    lines = [(one["event"], {name: one[name] for name in ids[0]}) for one in logs]
    assert lines == [("working", ids[0]), ("handler failed", ids[0]), ("working", ids[1])]
    assert [one["bound"] for one in logs if "bound" in one] == ids, "for other loggers, too"


def test_nothing_stays_bound_and_nothing_is_kept(rig: Rig, spans: Any) -> None:
    run_flaky(rig)
    rig.client().send("echo", {"fail": True})
    assert get_contextvars() == {}
    assert not trace.get_current_span().get_span_context().is_valid
    (plugin,) = [p for p in rig.app.hooks.get_plugins() if isinstance(p, OtelPlugin)]
    assert isinstance(plugin._tracing, Tracing)
    assert plugin._tracing._storing == {}
    (ended,) = plugin._tracing._running.values()
    assert not ended[1].is_recording(), "of one that has ended its context alone"


def test_xray_carries_it_too_where_it_is_asked_for(
    spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opentelemetry.propagators.aws import AwsXRayPropagator

    monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", AwsXRayPropagator())
    root, parent = "1-5759e988-bd862e3fe1be46a994272793", "53995c3f42cd8ad8"
    header = f"Root={root};Parent={parent};Sampled=1"
    client = run_flaky(rig := rig_of(), metadata={"X-Amzn-Trace-Id": header})
    assert spans.traces == {int(root[2:].replace("-", ""), 16)}
    assert root in rig.stored(client.ref("r")).metadata["X-Amzn-Trace-Id"]
    assert "traceparent" not in rig.stored(client.ref("r")).metadata


# -- every store


def test_every_store_keeps_the_context(open_store: Callable[[Clock], Store], spans: Any) -> None:
    clock = ManualClock()
    transport, store = MemoryTransport(), open_store(clock)
    app = Streamer(
        Settings.of({"plugins": []}),
        store=store,
        transport=transport,
        clock=clock,
        found=[],
        load_handlers=False,
    )
    app.hooks.register(Tokens(), "tokens")
    otel = OtelPlugin(OtelPlugin.Settings(), app)
    app.hooks.register(otel, "otel")
    otel.streamer_startup()
    for spec in declared(flaky):
        app.registry.add(spec)
    with app:
        to = transport.connect()
        connection = app.connect(Handshake(connection_id=to, token="acme/ann/"))
        message = {"id": "r", "action": "flaky", "metadata": {"traceparent": CLIENT}}
        (frame,) = app.receive(connection, json.dumps(message).encode()).frames
        ref = json.loads(frame)["ref"]
        assert app.run(ref)
        clock.advance(1_000)
        assert app.run(ref)
        found = store.get(ref)
        assert found is not None
        assert found.status is Status.COMPLETED
    assert spans.traces == {TRACE}
    sent = spans.one("send flaky").context.span_id
    assert [one.parent.span_id for one in spans.named("process flaky")] == [sent, sent]


def test_where_nothing_is_started_it_keeps_out_of_the_way(spans: Any, logs: Lines) -> None:
    """As in a command: `streamer requests redrive`."""
    rig = Rig(gives_up, echo)
    rig.plug(OtelPlugin(OtelPlugin.Settings(), rig.app))
    client = rig.client()
    client.send("gives-up", {}, id="r")
    assert rig.work() == 1
    assert rig.app.redrive(client.ref("r")).redriven_from == client.ref("r")
    assert client.ask("echo", {"a": 1})["data"] == {"a": 1}
    rig.app.flush()
    assert [line for line in logs if "plugin" in line] == []
    assert spans.named("gives-up") == []
