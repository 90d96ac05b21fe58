"""Each kind of metric that an operation needs: measured by the engine, read back from the lines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamer_core import Context, handler
from streamer_core.plugins import discover
from tests.unit.every_path import Limiter, long, quick, walk
from tests.unit.harness import Rig

ONCE = {"minimum_calls": 1}


@handler("fragile")
def fragile(payload: dict[str, Any], ctx: Context) -> None:
    with ctx.circuit("ledger"):
        raise OSError("down")


@pytest.fixture
def found(tmp_path: Path, read: Callable[[str], Any]) -> Any:
    """Give what CloudWatch reads after a walk through all that the engine does."""
    path = tmp_path / "metrics.log"
    rig = Rig(
        *(quick, long, fragile),
        plugins=[Limiter()],
        found=discover(["cloudwatch", "circuitbreaker"]),
        sections={"cloudwatch": {"to": str(path)}, "circuitbreaker": ONCE},
    )
    walk(rig)
    client = rig.client()
    for _ in range(2):
        client.send("fragile", {})
    rig.app.flush()
    return read(path.read_text("utf-8"))


COUNTERS: dict[str, list[tuple[str, dict[str, str]]]] = {
    "connections": [
        ("connection.opened", {}),
        ("connection.closed", {"reason": "closed"}),
        ("connection.closed", {"reason": "gone"}),
        ("connection.refused", {"code": "UNAUTHORIZED"}),
    ],
    "messages": [
        ("message.received", {}),
        ("message.answered", {}),
        ("message.sent", {"type": "complete"}),
        ("message.refused", {"code": "INVALID_MESSAGE"}),
    ],
    "requests by outcome": [
        *(("request.ended", {"outcome": one}) for one in ("completed", "failed", "cancelled")),
        ("request.accepted", {"action": "long"}),
    ],
    "retries": [("request.retried", {"action": "long", "code": "PROCESSING_FAILED"})],
    "dead letters": [("request.dead_lettered", {"code": "PROCESSING_FAILED"})],
    "throttles": [("message.refused", {"code": "RATE_LIMITED"}), ("message.busy", {})],
    "circuit changes": [("circuit.change", {"circuit": "ledger", "state": "open"})],
    "coalesced progress": [("progress.coalesced", {})],
    "bytes": [(f"message.{one}.bytes", {}) for one in ("received", "answered", "sent")],
}
TIMES = {
    "queue wait": ("request.waited", {}),
    "execution": ("request.executed", {"action": "long", "outcome": "done"}),
    "delivery": ("message.latency", {"type": "complete"}),
    "answered at once": ("request.answered", {"action": "quick", "outcome": "completed"}),
    "failed at once": ("request.answered", {"action": "quick", "outcome": "failed"}),
    "rejected at once": ("request.answered", {"action": "quick", "outcome": "rejected"}),
    "from accepted to ended": ("request.age", {"outcome": "completed"}),
}


@pytest.mark.parametrize("family", COUNTERS)
def test_it_is_counted(family: str, found: Any) -> None:
    for name, dimensions in COUNTERS[family]:
        assert found.total(name, **dimensions) >= 1, name
        assert found.units[name] == ("Bytes" if family == "bytes" else "Count")


@pytest.mark.parametrize("stage", TIMES)
def test_each_time_is_there_for_percentiles(stage: str, found: Any) -> None:
    name, dimensions = TIMES[stage]
    assert found.units[name] == "Milliseconds"
    assert found.of(name, **dimensions)
    assert all(value >= 0 for value in found.of(name, **dimensions))


def test_gauges_are_the_last_value(found: Any) -> None:
    """Of the connections ann's, which the walk closes after the last sweep, and bob's."""
    assert found.of("connection.stored") == [2]
    assert found.of("circuit.state", circuit="ledger") == [2]
    assert {found.units[name] for name in ("connection.stored", "circuit.state")} == {"None"}


def test_every_store_is_measured_alike(
    open_store: Callable[[Any], Any], tmp_path: Path, read: Callable[[str], Any]
) -> None:
    path = tmp_path / "metrics.log"
    rig = Rig(
        *(quick, long),
        found=discover(["cloudwatch"]),
        sections={"cloudwatch": {"to": str(path)}},
        open_store=open_store,
    )
    client = rig.client()
    client.send("quick", {})
    for name, payload in (("ok", {}), ("bad", {"fail": 1})):
        client.send("long", payload, id=name)
    rig.clock.advance(2_000)
    rig.app.sweep()
    rig.work()
    rig.clock.advance(60_000)
    rig.work()
    rig.app.flush()
    found = read(path.read_text("utf-8"))
    assert found.of("connection.stored") == [1]
    assert found.of("request.oldest") == [2_000]
    assert len(found.of("request.waited")) == len(found.of("request.executed")) == 3
    assert len(found.of("request.answered", outcome="completed")) == 1
    counts = ("accepted", "retried", "dead_lettered", "ended")
    assert [found.total(f"request.{one}") for one in counts] == [2, 1, 1, 2]
