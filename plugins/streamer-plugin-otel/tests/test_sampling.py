"""A share of the traces is kept: each of those whole, and nothing of the others."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from streamer_plugin_otel import OtelPlugin
from structlog.contextvars import get_contextvars

from streamer_core import Context, handler
from streamer_core.handlers import declared
from tests.unit.harness import Rig

CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@handler("echo")
def echo() -> None:
    with trace.get_tracer("handler").start_as_current_span("own"):
        pass


@handler("queued", mode="async")
def queued(ctx: Context) -> None:
    with trace.get_tracer("handler").start_as_current_span("own"):
        ctx.emit(1)


class Sampled:
    """An application whose plugin has set the SDK up, and the spans that were kept."""

    def __init__(self, ratio: float, endpoint: str) -> None:
        self.rig = Rig(echo, queued, chunk_buffer=1)
        plugin = OtelPlugin(OtelPlugin.Settings(ratio=ratio, endpoint=endpoint), self.rig.app)
        self.rig.plug(plugin)
        plugin.streamer_startup()
        provider = trace.get_tracer_provider()
        assert isinstance(provider, TracerProvider)
        self._provider = provider
        self._exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def named(self, *names: str) -> list[ReadableSpan]:
        return [one for one in self._exporter.get_finished_spans() if one.name in names]

    def close(self) -> None:
        self._provider.shutdown()


@pytest.fixture
def sampled(collector: Any) -> Iterator[Callable[[float], Sampled]]:
    made: list[Sampled] = []

    def make(ratio: float) -> Sampled:
        made.append(Sampled(ratio, collector.url))
        return made[-1]

    yield make
    for one in made:
        one.close()


def traces_of(spans: list[ReadableSpan]) -> list[int]:
    return [one.context.trace_id for one in spans if one.context]


def test_nothing_is_made_of_what_is_left_out(sampled: Callable[[float], Sampled]) -> None:
    left_out = sampled(0)
    client = left_out.rig.client()
    client.ask("echo")
    for name in ("one", "two"):
        client.ask("queued", {}, id=name)
    assert left_out.rig.work() == 2
    assert client.kinds.count("complete") == 2
    assert left_out.named("echo", "queued", "send queued", "process queued", "own") == []
    assert left_out.named("push chunk", "push complete") == []
    stored = [left_out.rig.stored(client.ref(name)).metadata for name in ("one", "two")]
    assert all(one["traceparent"].endswith("-00") for one in stored), "the worker knows it, too"
    assert len({one["traceparent"].split("-")[1] for one in stored}) == 2


def test_a_share_is_kept_and_each_of_it_whole(sampled: Callable[[float], Sampled]) -> None:
    half = sampled(0.5)
    client = half.rig.client()
    for number in range(100):
        client.ask("echo")
        client.ask("queued", {}, id=f"r-{number}")
    assert half.rig.work() == 100
    for action, parts in (
        ("echo", ("echo", "own")),
        ("queued", ("queued", "send queued", "process queued", "own", "push complete")),
    ):
        kept = traces_of(half.named(action))
        assert 20 <= len(kept) <= 80, "six deviations of the binomial distribution"
        for part in parts:
            assert set(kept) <= set(traces_of(half.named(part))), part
    roots = {one.context.trace_id for one in half.named("echo", "queued") if one.context}
    everything = half.named("own", "send queued", "process queued", "push chunk", "push complete")
    assert set(traces_of(everything)) == roots


def test_who_has_decided_is_heeded(sampled: Callable[[float], Sampled]) -> None:
    left_out = sampled(0)
    client = left_out.rig.client()
    client.send("echo", {}, metadata={"traceparent": CLIENT})
    assert set(traces_of(left_out.named("echo", "own"))) == {int(CLIENT.split("-")[1], 16)}
    with trace.use_span(around_it(CLIENT)):
        client.send("echo", {})
    assert len(left_out.named("echo")) == 2


def around_it(traceparent: str) -> trace.Span:
    _, trace_id, span_id, _ = traceparent.split("-")
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    around = trace.SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=flags
    )
    return trace.NonRecordingSpan(around)


def test_another_application_of_the_process_decides_alike(
    sampled: Callable[[float], Sampled],
) -> None:
    sampled(0)
    bound: list[dict[str, Any]] = []

    @handler("look")
    def look() -> None:
        bound.append(get_contextvars())

    other = sampled(1)
    other.rig.app.registry.add(*declared(look))
    other.rig.client().ask("look")
    assert bound == [{}], "nothing is made of it, not even ids"
    assert other.named("look") == []


def test_all_is_kept(sampled: Callable[[float], Sampled]) -> None:
    whole = sampled(1)
    whole.rig.client().ask("echo")
    assert len(whole.named("echo", "own")) == 2


def test_copies_of_one_snapshot_make_traces_of_their_own(
    sampled: Callable[[float], Sampled],
) -> None:
    """The SDK makes ids of Python's random numbers, which a snapshot holds with all else."""
    made = sampled(1.0)
    client = made.rig.client()
    snapshot = random.getstate()
    for _ in range(2):
        random.setstate(snapshot)
        made.rig.app.rename()
        client.ask("echo")
    assert len(set(traces_of(made.named("echo")))) == 2
