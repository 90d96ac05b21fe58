"""What all are measured by, with the same loads, one after the other."""

import time
from dataclasses import dataclass

from benchmarks.load import Figures, running
from benchmarks.options import Options
from benchmarks.peers import away, processes
from benchmarks.peers.places import Place
from benchmarks.report import Report

CONNECTIONS, DEPTH = 100, 8
LATENCY_CONNECTIONS, LATENCY_RATE = 20, 200
IDLE, TRIED = 2000, 20
WARMUP_S, SETTLE_S = 3.0, 1.0
PATIENCE_S = 60.0
"""For what is under way when a load ends: the next one must find an empty queue."""
ACTIONS = ("echo", "noop", "report")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One thing.

    Args:
        name, unit: as the report has them.
        more_is_better: a rate rather than a cost.
    """

    name: str
    unit: str
    more_is_better: bool = False

    def times(self, own: float, other: float) -> float:
        """Say how many times as good the first is."""
        better, worse = (own, other) if self.more_is_better else (other, own)
        return better / worse if worse else float("inf")


RATE = Measure(name="echo", unit="msg/s", more_is_better=True)
DONE = Measure(name="enqueue to complete", unit="req/s", more_is_better=True)
ACK = Measure(name="acknowledgment, p99", unit="ms")
FIRST_HALF = Measure(name="first progress, p50", unit="ms")
FIRST = Measure(name="first progress, p99", unit="ms")
RESULT_HALF = Measure(name="result of 50 ms of work, p50", unit="ms")
RESULT = Measure(name="result of 50 ms of work, p99", unit="ms")
MEMORY = Measure(name="memory of all processes after it", unit="MB")
IDLE_COST = Measure(name="an idle connection", unit="KB")

Found = dict[Measure, float]


def rate_of(options: Options) -> int:
    """Give the rate that latencies are measured at, a second."""
    return options.size(LATENCY_RATE, 50)


def ready(place: Place) -> None:
    """Send a few of each kind, and let all of them end; what does not work is not measured.

    Raises:
        RuntimeError: some did not end; with what the place wrote.
    """
    for action in ACTIONS:
        given = {"action": action, "connections": 4, "count": TRIED, **place.more}
        times = {"seconds": processes.START_S, "patience": processes.START_S}
        with running("requests", place.port, **given, **times) as load:
            ended = load.figures()["ended"]
        if ended < TRIED:
            raise RuntimeError(f"{place.name}: {ended} of {TRIED} {action} ended\n{place.said()}")


def found(report: Report, options: Options, place: Place) -> Found:
    """Measure all."""
    rate = rate_of(options)
    # Idle connections come first: what a load has freed would hide what they take.
    idle = _idle(place, options.size(IDLE, 100))
    echo = _load(report, options, place, action="echo", connections=CONNECTIONS)
    depth = options.size(DEPTH, 1)
    noop = _load(report, options, place, action="noop", connections=CONNECTIONS, depth=depth)
    slow = _load(
        report, options, place, action="report", connections=LATENCY_CONNECTIONS, rate=rate
    )
    _generator(report, place, echo)
    _away(report, place)
    return {
        RATE: echo["ended_within"] / echo["seconds"],
        DONE: noop["ended_within"] / noop["seconds"],
        ACK: slow["ack"]["p99"],
        FIRST_HALF: slow["progress"]["p50"],
        FIRST: slow["progress"]["p99"],
        RESULT_HALF: slow["end"]["p50"],
        RESULT: slow["end"]["p99"],
        MEMORY: place.memory / 1024**2,
        IDLE_COST: idle,
    }


def _load(report: Report, options: Options, place: Place, **given: float | str) -> Figures:
    seconds = options.duration
    times = {"seconds": seconds, "warmup": min(WARMUP_S, seconds), "patience": PATIENCE_S}
    with running("requests", place.port, **times, **given, **place.more) as under_way:
        figures = under_way.figures()
    report.keep(f"{place.name}: {given['action']}", figures)
    lost = figures["errors"] + figures["missing"]
    report.add(f"{place.name}: {given['action']} that never ended", lost, bound=0)
    return figures


def _generator(report: Report, place: Place, echo: Figures) -> None:
    share = 100 * echo["window_generator_cpu_s"] / echo["seconds"]
    report.add(f"{place.name}: generator CPU of a core, in echo", share, "%")


def _away(report: Report, place: Place) -> None:
    told = away.told(place.port, socketio="socketio" in place.more)
    report.add(f"{place.name}: results told to a client that was away", told, f"of {away.COUNT}")


def _idle(place: Place, count: int) -> float:
    """Give what one takes, in KB: of Streamer's gateway and workers, of the peers' uvicorn."""
    before = processes.memory_of_all([place.server])
    with running("idle", place.port, connections=count, **place.more) as crowd:
        crowd.until("open")
        time.sleep(SETTLE_S)
        held = processes.memory_of_all([place.server]) - before
        crowd.figures()
    return held / count / 1024
