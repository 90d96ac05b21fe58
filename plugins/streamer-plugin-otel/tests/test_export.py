"""Spans on their way to a real collector, and to one that hangs or is not there."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamer_plugin_local.testing import Talk, eventually, running_gateway, write_project
from streamer_plugin_otel import OtelPlugin
from streamer_plugin_otel.flushing import Flushing
from streamer_plugin_otel.provider import Exporter

HANDLERS = """
from opentelemetry import trace

from streamer_core import Context, handler


@handler("flaky", mode="async", retry={"backoff": "1ms"})
def flaky(ctx: Context) -> int:
    with trace.get_tracer("handler").start_as_current_span("own"):
        ctx.emit("piece")
    if ctx.attempt == 1:
        raise OSError
    return ctx.attempt


@handler("echo")
def echo(payload: dict) -> dict:
    return payload
"""


def test_one_trace_in_both_worlds(world: dict[str, Any], tmp_path: Path, collector: Any) -> None:
    """Client, queue, an attempt that fails, another, pushes: of several processes, one trace."""
    project = write_project(
        tmp_path / "project",
        HANDLERS,
        core={"plugins": ["local", "sqlite", "apigateway", "otel"], "chunk_buffer": 1},
        plugins={"otel": {"endpoint": collector.url}},
        sync_workers=1,
        async_workers=1,
        **world,
    )
    env = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
    with running_gateway(project, env=env) as gateway, Talk(gateway.url) as talk:
        talk.send("flaky", {}, id="r")
        assert talk.until(lambda one: one["type"] == "complete")["result"] == 2
        found = eventually(lambda: _whole(collector.spans), "the trace")
    assert len({one["trace"] for one in found}) == 1
    by_id = {one["id"]: one["name"] for one in found}
    hang = {(one["name"], by_id.get(one["parent"], one["parent"])) for one in found}
    # What was stored is sent before the handler runs, where it is read from the store beside it.
    assert hang & {("push restart", "send flaky"), ("push restart", "process flaky")}
    hang -= {(f"push {what}", "send flaky") for what in ("restart", "chunk")}
    hang -= {("push restart", "process flaky")}
    assert hang == {
        ("flaky", ""),
        ("send flaky", "flaky"),
        ("process flaky", "send flaky"),
        ("own", "process flaky"),
        ("push chunk", "process flaky"),
        ("push progress", "process flaky"),
        ("push complete", "process flaky"),
    }
    attempts = [one for one in found if one["name"] == "process flaky"]
    assert sorted(one["failed"] for one in attempts) == [False, True]
    assert all(one["kind"] == "CONSUMER" and len(one["links"]) == 1 for one in attempts)
    assert {one["resource"]["service.name"] for one in found} == {"streamer"}


def _whole(found: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    names = [one["name"] for one in found]
    ended = "push complete" in names and names.count("process flaky") == 2 and "flaky" in names
    return found if ended and "push restart" in names else None


# -- an exporter that hangs or is not there


@pytest.fixture
def silent() -> Iterator[str]:
    """Give the address of a socket that takes what comes and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_no_answer_waits_longer_than_the_setting_says(tmp_path: Path, silent: str) -> None:
    """On Lambda each event is flushed: the first waits so long, the others not while it hangs."""
    project = write_project(
        tmp_path / "project",
        HANDLERS,
        core={"plugins": ["local", "sqlite", "apigateway", "otel"]},
        plugins={"otel": {"endpoint": silent, "flush": "300ms"}},
        as_lambda=True,
        sync_workers=1,
        async_workers=1,
    )
    with running_gateway(project) as gateway, Talk(gateway.url) as talk:
        took = []
        for _ in range(5):
            began = time.monotonic()
            assert talk.ask("echo", {"x": 1})["data"] == {"x": 1}
            took.append(time.monotonic() - began)
    assert sum(took) < 2.5, "all five, where each on its own would wait for the exporter's 10 s"


FLUSHES = """
import sys, time
from streamer_core import Settings, Streamer
from streamer_core.ports import SystemClock
from streamer_core.testing import MemoryStore, MemoryTransport

clock = SystemClock()
app = Streamer.start(
    Settings.of({"plugins": ["otel"]}, {"otel": {"endpoint": sys.argv[1], "flush": "1s"}}),
    store=MemoryStore(clock), transport=MemoryTransport(), load_handlers=False,
)
from opentelemetry import trace

def flush():
    trace.get_tracer("t").start_span("s").end()
    began = time.monotonic()
    app.flush()
    return time.monotonic() - began

took = [flush(), flush()]
began = time.monotonic()
app.close()
print(*took, time.monotonic() - began, flush=True)
"""


@pytest.mark.parametrize("answers", [False, None])
def test_neither_a_flush_nor_an_end_waits_for_the_exporter(
    silent: str, answers: bool | None
) -> None:
    endpoint = "http://127.0.0.1:1" if answers is None else silent
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", FLUSHES, endpoint],
        env={**os.environ, "OTEL_EXPORTER_OTLP_TIMEOUT": "40"},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second, close = map(float, done.stdout.split())
    assert 1 <= first < 20
    assert second < 1, "the first is still at it"
    assert close < 20
    assert time.monotonic() - began < 38, "nor does the interpreter's end: the exporter takes 40 s"


def test_health_says_how_the_last_export_went(collector: Any) -> None:
    plugin = OtelPlugin(OtelPlugin.Settings(), app=None)
    assert plugin.streamer_health() is None, "the application exports by itself"
    said = []
    for url in (f"{collector.url}/v1/traces", "http://127.0.0.1:1"):
        plugin._exporter = Exporter(endpoint=url, timeout=0.2)
        said.append(plugin.streamer_health())
        plugin._exporter.export([])
        said.append(plugin.streamer_health())
    assert [(one.status, one.detail) for one in said if one] == [
        ("ok", "last export: none yet"),
        ("ok", "last export: went well"),
        ("ok", "last export: none yet"),
        ("degraded", "last export: failed"),
    ]


class Provider:
    """Flushes as it is told to."""

    def __init__(self, flush: Callable[[], object]) -> None:
        self.force_flush = flush


def test_a_flush_waits_until_it_is_through() -> None:
    done: list[bool] = []
    flushing = Flushing(Provider(lambda: done.append(True)), 20)
    flushing.flush()
    flushing.flush()
    assert done == [True, True]


def test_while_one_hangs_nobody_waits_for_another() -> None:
    let_go, began = threading.Event(), []

    def hang() -> None:
        began.append(True)
        let_go.wait(20)

    flushing = Flushing(Provider(hang), 0.01)
    flushing.flush()
    flushing.flush()
    assert began == [True]
    let_go.set()
    eventually(lambda: flushing._under_way is None or not flushing._under_way.is_alive())
    flushing.flush()
    assert began == [True, True]


def test_a_provider_without_a_flush_is_left_alone() -> None:
    Flushing(object(), 20).flush()
