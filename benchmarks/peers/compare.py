"""What a user would pick instead, doing the same work in the same run.

python-socketio with Celery and with Dramatiq on Redis, and Chalice's dispatch for routing. Redis is
run as it comes (snapshots: what was acknowledged last may be lost) and with `appendfsync always`.
Streamer's own rows are on SQLite with `synchronous=FULL`. See PLAN.md for what is missing.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.gateway import gateway
from benchmarks.load import Figures, running
from benchmarks.options import Options
from benchmarks.peers import places
from benchmarks.report import Report

Given = dict[str, float | str]

SOCKETIO: Given = {"path": "/socket.io/?EIO=4&transport=websocket", "socketio": 1}
CONNECTIONS = 100
PROCESSES, THREADS = 2, 32
SETTLE_S = 1.0
CELERY = ["-m", "celery", "-A", "celery_tasks", "worker", "-l", "error", "--without-gossip"]
CELERY += ["--without-mingle", "--without-heartbeat", "-Ofair"]
DRAMATIQ = ["-m", "dramatiq", "dramatiq_tasks"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Something that serves the loads.

    Args:
        name: with its durability.
        port: where it listens.
        more: what the load generator must know of it.
        server: the process that holds the connections, or is the parent of those that do.
        all: the parents of all its processes.
    """

    name: str
    port: int
    more: Given
    server: int
    all: list[int]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One thing that all places are measured by."""

    name: str
    unit: str
    more_is_better: bool = False


RATE = Measure(name="echo", unit="/s", more_is_better=True)
DONE = Measure(name="enqueue to complete", unit="/s", more_is_better=True)
ACK = Measure(name="acknowledgment p99 at 200/s", unit="ms")
FIRST = Measure(name="first progress p99 at 200/s", unit="ms")
RESULT = Measure(name="result p99 at 200/s, of 50 ms of work", unit="ms")
MEMORY = Measure(name="memory of all processes after it", unit="MB")
IDLE = Measure(name="an idle connection, in the server", unit="KB")
MEASURES = (RATE, DONE, ACK, FIRST, RESULT, MEMORY, IDLE)

Found = dict[Measure, float]


def run(report: Report, options: Options) -> None:
    """Streamer first, then each peer, with the same loads; then the ratios."""
    _chalice(report)
    found: dict[str, Found] = {}
    for place in _places(options):
        found[place.name] = _found(report, options, place)
        for measure, value in found[place.name].items():
            report.add(f"{place.name}: {measure.name}", value, measure.unit)
    own, *peers = found
    for peer in peers:
        for measure in MEASURES:
            times = found[own][measure] / (found[peer][measure] or 1)
            better = times if measure.more_is_better else 1 / (times or 1)
            report.add(f"{own} against {peer}: {measure.name}", better, "times as good")


def _chalice(report: Report) -> None:
    program = places.HERE / "chalice_routing.py"
    done = subprocess.run(
        [str(places.python()), str(program)], check=True, stdout=subprocess.PIPE, text=True
    )
    cost = json.loads(done.stdout)
    report.add("Chalice: routing a message", cost["best"], "µs")
    report.add("Chalice: routing a message, median", cost["median"], "µs")
    report.note("Chalice: no gates, no limits on what is decoded; compare with `routing`")


def _places(options: Options) -> Iterator[Place]:
    with gateway(quick=options.quick) as server:
        yield Place(
            name="streamer, FULL",
            port=server.port,
            more={},
            server=server.pid,
            all=[server.pid],
        )
    for queue in ("celery", "dramatiq"):
        for fsync in options.size(("no", "always"), ("no",)):
            with _peer(queue, fsync) as place:
                yield place


@contextmanager
def _peer(queue: str, fsync: str) -> Iterator[Place]:
    """Run Redis, the queue's workers and the server."""
    python, port = str(places.python()), places.free_port()
    workers = {
        "celery": [*CELERY, "--pool", "threads", "--concurrency", str(THREADS)],
        "dramatiq": [*DRAMATIQ, "--processes", "1", "--threads", str(THREADS)],
    }
    serve = ["-m", "uvicorn", "server:app", "--port", str(port), "--workers", str(PROCESSES)]
    serve += ["--log-level", "error", "--backlog", "1024"]
    with places.redis(fsync) as (url, redis):
        environment = {"REDIS_URL": url, "PEER": queue, "PYTHONPATH": str(places.HERE)}
        # As many worker processes as Streamer's gateway has.
        with (
            places.process([python, *_named(workers[queue], 1)], environment) as first,
            places.process([python, *_named(workers[queue], 2)], environment) as second,
            places.process([python, *serve], environment) as server,
        ):
            places.wait_for(port)
            yield Place(
                name=f"socketio+{queue}, fsync {fsync}",
                port=port,
                more=SOCKETIO,
                server=server,
                all=[redis, first, second, server],
            )


def _named(command: list[str], number: int) -> list[str]:
    """Celery wants a name for each worker of a host."""
    return [*command, "-n", f"w{number}@%h"] if "celery" in command else command


def _found(report: Report, options: Options, place: Place) -> Found:
    def load(**given: float | str) -> Figures:
        times: Given = {"seconds": options.duration, "warmup": options.size(3.0, 1.0)}
        with running("requests", place.port, **times, **given, **place.more) as under_way:
            figures = under_way.figures()
        report.keep(f"{place.name}: {given['action']}", figures)
        if lost := figures["errors"] + figures["missing"]:
            report.note(f"{place.name}, {given['action']}: {lost} never ended")
        return figures

    echo = load(action="echo", connections=CONNECTIONS)
    noop = load(action="noop", connections=CONNECTIONS, depth=options.size(8, 1))
    slow = load(action="report", connections=20, rate=options.size(200, 50))
    return {
        RATE: echo["ended_within"] / echo["seconds"],
        DONE: noop["ended_within"] / noop["seconds"],
        ACK: slow["ack"].get("p99", 0),
        FIRST: slow["progress"].get("p99", 0),
        RESULT: slow["end"].get("p99", 0),
        MEMORY: places.memory_of_all(place.all) / 1024**2,
        IDLE: _idle(place, options.size(2000, 100)),
    }


def _idle(place: Place, count: int) -> float:
    before = places.memory_of_all([place.server])
    with running("idle", place.port, connections=count, **place.more) as crowd:
        crowd.until("open")
        time.sleep(SETTLE_S)
        held = places.memory_of_all([place.server]) - before
        crowd.figures()
    return held / count / 1024
