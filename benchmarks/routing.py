"""Routing one sync message in process: core defaults, in-memory transport and store.

The whole is `app.receive`. The steps are the engine's own functions, timed where they are called;
what is between them is `the rest`.
"""

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from pydantic import BaseModel

from benchmarks.options import Options
from benchmarks.report import Report
from streamer_core import Settings, Streamer, handler
from streamer_core.engine import at_once, receive
from streamer_core.engine.live import LiveExecution
from streamer_core.handlers import declared
from streamer_core.model.connection import Connection
from streamer_core.model.principal import Principal
from streamer_core.ports import SystemClock
from streamer_core.testing import MemoryStore, MemoryTransport

BOUND_US, AIM_US = 100, 30
DAY_MS = 86_400_000
TEXT = "x" * 120

Call = Callable[..., Any]


class Text(BaseModel):
    text: str


@handler("model")
def with_model(request: Text) -> dict[str, str]:
    """Take a model, as most handlers do."""
    return {"text": request.text}


@handler("dict")
def with_dict(request: dict[str, Any]) -> dict[str, Any]:
    """Take what comes."""
    return request


class Steps:
    """Times calls where they are made; a call within another counts as its own alone."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        """Nanoseconds."""
        self.calls: Counter[str] = Counter()
        self._within = [0]

    def clear(self) -> None:
        """Begin anew."""
        self.spent.clear()
        self.calls.clear()

    def timed(self, step: str, call: Call) -> Call:
        """Give a call that counts its time under a step's name."""

        def timing(*args: Any, **kwargs: Any) -> Any:
            self._within.append(0)
            began = time.perf_counter_ns()
            try:
                return call(*args, **kwargs)
            finally:
                took = time.perf_counter_ns() - began
                self.spent[step] += took - self._within.pop()
                self.calls[step] += 1
                self._within[-1] += took

        return timing


def run(report: Report, options: Options) -> None:
    """Measure messages as they are, then what each step has of one."""
    sizes = options.size((400, 100), (20, 50))
    with _app() as app:
        connection = _connection(app)
        for name in ("dict", "model"):
            costs = [cost for cost, _ in _measured(app, connection, name, sizes)]
            report.add(f"a message ({name})", min(costs), "µs", bound=BOUND_US, aim=AIM_US)
            report.add(f"a message ({name}), median", statistics.median(costs), "µs")
        steps = Steps()
        with _watched(app, steps):
            watched = _measured(app, connection, "model", sizes, steps)
    whole, shares = min(watched, key=lambda one: one[0])
    for step, cost in shares.items():
        report.add(f"  {step}", cost, f"µs {100 * cost / whole:5.1f} %")
    report.note(
        f"{len(_message('model'))} bytes a message; the steps are those of 'model', in the best "
        f"batch of {sizes[1]}: {whole:.1f} µs a message, what the timing itself costs taken off"
    )


def costs_of(action: str, sizes: tuple[int, int]) -> list[float]:
    """Receive so many batches of so many messages; give what one cost in each, in µs."""
    with _app() as app:
        return [cost for cost, _ in _measured(app, _connection(app), action, sizes)]


Batch = tuple[float, dict[str, float]]
"""What a message cost, and its steps, in µs."""


def _measured(
    app: Streamer,
    connection: Connection,
    action: str,
    sizes: tuple[int, int],
    steps: Steps | None = None,
) -> list[Batch]:
    """Receive so many batches of so many messages."""
    data, (batches, times) = _message(action), sizes
    assert b'"success":true' in app.receive(connection, data).frames[0]
    timing = _timing() if steps else (0.0, 0.0)
    found: list[Batch] = []
    for _ in range(batches):
        if steps:
            steps.clear()
        began = time.perf_counter_ns()
        for _ in range(times):
            app.receive(connection, data)
        cost = (time.perf_counter_ns() - began) / times / 1000
        found.append(_split(cost, steps, times, timing) if steps else (cost, {}))
    return found


def _split(cost: float, steps: Steps, times: int, timing: tuple[float, float]) -> Batch:
    """Take off what the timing costs: some of it within each step, some of it around."""
    within, around = timing
    shares = {
        step: (ns - steps.calls[step] * within) / times / 1000 for step, ns in steps.spent.items()
    }
    whole = cost - steps.calls.total() * (within + around) / times / 1000
    shares["the rest"] = whole - sum(shares.values())
    return whole, shares


def _timing() -> tuple[float, float]:
    """Give the nanoseconds that timing a call adds to it, and around it."""
    steps, calls = Steps(), 10_000
    nothing = steps.timed("nothing", lambda **_: None)
    began = time.perf_counter_ns()
    for _ in range(calls):
        nothing(one=1, two=2)
    whole = (time.perf_counter_ns() - began) / calls
    within = steps.spent["nothing"] / calls
    return within, whole - within


@contextmanager
def _watched(app: Streamer, steps: Steps) -> Iterator[None]:
    """Time the steps on a message's way."""
    rt, registered = app.runtime, app.runtime.registry.get("model")
    points: list[tuple[Any, str, str]] = [
        (receive, "decode", "decode"),
        (rt.hook, "streamer_authorize", "authorize"),
        (rt.hook, "streamer_limit", "limit"),
        (registered, "validate", "validate"),
        (rt.hook, "streamer_admit", "admit"),
        (rt.hook, "streamer_route", "route"),
        (rt, "tell", "observe"),
        (at_once, "LiveExecution", "make the execution"),
        (LiveExecution, "call", "make call and context"),
        (rt.pulse, "add", "pulse"),
        (rt.pulse, "remove", "pulse"),
        (rt.hook, "streamer_execute", "execute"),
        (LiveExecution, "answer_to", "encode"),
    ]
    with ExitStack() as stack:
        for owner, name, step in points:
            call = steps.timed(step, getattr(owner, name))
            stack.enter_context(patch.object(owner, name, call))
        yield


def _app() -> Streamer:
    clock = SystemClock()
    app = Streamer(
        Settings.of({"store": "memory", "transport": "memory"}),
        store=MemoryStore(clock),
        transport=MemoryTransport(),
        clock=clock,
        found=[],
        load_handlers=False,
    )
    for function in (with_model, with_dict):
        for spec in declared(function):
            app.registry.add(spec)
    return app


def _connection(app: Streamer) -> Connection:
    now = app.clock.now()
    return Connection(
        id="c-1", principal=Principal(user="ann"), connected_at=now, expires_at=now + DAY_MS
    )


def _message(action: str) -> bytes:
    return json.dumps({"id": "r-1", "action": action, "payload": {"text": TEXT}}).encode()
