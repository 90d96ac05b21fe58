"""The whole of it: real processes, the daemon's socket, and another tracer beside it."""

import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import propagate, trace
from opentelemetry.propagators.aws import AwsXRayPropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once
from streamer_plugin_local.testing import Talk, running_gateway, write_project
from streamer_plugin_otel import OtelPlugin
from streamer_plugin_xray import XRayPlugin

from streamer_core import Context, handler
from tests.unit.harness import Rig

HANDLERS = """
from aws_xray_sdk.core import xray_recorder

from streamer_core import Context, handler


@handler("flaky", mode="async", retry={"backoff": "1ms"})
def flaky(ctx: Context) -> int:
    with xray_recorder.in_subsegment("own"):
        ctx.emit("piece")
    if ctx.attempt == 1:
        raise OSError
    return ctx.attempt
"""
INVOCATION = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
ROOT, CALLER = "1-11111111-222222222222222222222222", "3333333333333333"


def test_one_trace_in_both_worlds(world: dict[str, Any], tmp_path: Path, daemon: Any) -> None:
    """The client's, also where each invocation of a function has a trace of its own."""
    project = write_project(
        tmp_path / "project",
        HANDLERS,
        core={"plugins": ["local", "sqlite", "apigateway", "xray"], "chunk_buffer": 1},
        sync_workers=1,
        async_workers=1,
        **world,
    )
    env = {"AWS_XRAY_DAEMON_ADDRESS": daemon.address}
    if world["as_lambda"]:
        env |= {"LAMBDA_TASK_ROOT": "/var/task", "_X_AMZN_TRACE_ID": INVOCATION}
    header = {"X-Amzn-Trace-Id": f"Root={ROOT};Parent={CALLER};Sampled=1"}
    with running_gateway(project, env=env) as gateway, Talk(gateway.url) as talk:
        talk.send("flaky", {}, id="r", metadata=header)
        assert talk.until(lambda one: one["type"] == "complete")["result"] == 2
        found = daemon.wait_for(9)
    assert {one["trace_id"] for one in found} == {ROOT}
    (message,) = [one for one in found if one.get("parent_id") == CALLER]
    attempts = {
        one["annotations"]["attempt"]: one
        for one in found
        if "attempt" in one.get("annotations", {})
    }
    assert sorted(attempts) == [1, 2]
    assert {one["parent_id"] for one in attempts.values()} == {message["id"]}
    above = {message["id"], *(one["id"] for one in attempts.values())}
    assert {one["parent_id"] for one in found if one["name"] == "own"} <= above - {message["id"]}
    assert {one["parent_id"] for one in found if one["name"].startswith("push")} <= above
    assert all(("type" in one) or not world["as_lambda"] for one in found), "subsegments alone"


@handler("twice", mode="async", retry={"backoff": "1s"})
def twice(ctx: Context) -> str:
    if ctx.attempt == 1:
        raise OSError
    return "done"


def run(*plugins: type[Any], metadata: dict[str, str], **settings: Any) -> None:
    rig = Rig(twice)
    for plugin in plugins:
        made = plugin(plugin.Settings(**(settings if plugin is XRayPlugin else {})), rig.app)
        rig.plug(made)
        made.streamer_startup()
    rig.client().send("twice", {}, id="r", metadata=metadata)
    rig.work()
    rig.clock.advance(1_000)
    assert rig.work() == 1


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    monkeypatch.delenv("AWS_XRAY_DAEMON_ADDRESS", raising=False)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


GIVEN = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "X-Amzn-Trace-Id": f"Root={ROOT};Parent={CALLER};Sampled=1",
}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("shares_a_name", [False, True])
def test_beside_otel_each_makes_what_it_makes_alone(
    daemon: Any,
    spans: InMemorySpanExporter,
    monkeypatch: pytest.MonkeyPatch,
    order: int,
    shares_a_name: bool,
) -> None:
    """Also where both carry X-Ray's header: each reads back what it stored itself."""
    if shares_a_name:
        monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", AwsXRayPropagator())

    def of_otel() -> list[Any]:
        found: Any = spans.get_finished_spans()
        names = {one.context.span_id: one.name for one in found}
        made = [(o.name, names.get(o.parent.span_id, o.parent.span_id)) for o in found]
        spans.clear()
        return [*made, {one.context.trace_id for one in found}]

    def of_xray() -> list[Any]:
        found = daemon.wait_for(5)
        places = {one["id"]: str(one.get("annotations", one["name"])) for one in found}
        daemon.documents.clear()
        made = [(places[o["id"]], places.get(o["parent_id"], o["parent_id"])) for o in found]
        return [*made, {one["trace_id"] for one in found}]

    run(OtelPlugin, metadata=GIVEN)
    otel_alone = of_otel()
    run(XRayPlugin, metadata=GIVEN, daemon=daemon.address)
    xray_alone = of_xray()
    run(*[OtelPlugin, XRayPlugin][::order], metadata=GIVEN, daemon=daemon.address)
    assert of_otel() == otel_alone
    assert of_xray() == xray_alone


def test_a_daemon_that_is_not_there_delays_nothing(spans: InMemorySpanExporter) -> None:
    began = time.monotonic()
    run(XRayPlugin, metadata=GIVEN, daemon="127.0.0.1:1")
    assert time.monotonic() - began < 5, "it is sent by UDP, and nobody waits for an answer"
