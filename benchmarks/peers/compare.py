"""What a user would pick instead, doing the same work in the same run.

python-socketio with Celery and with Dramatiq on Redis, and Chalice's dispatch for routing. Each is
set up as `setups.py` says, as fast as it gets and as durable as it gets; Streamer's own row is on
SQLite with `synchronous=FULL`.
"""

import json
import statistics
import subprocess
from collections.abc import Iterator
from dataclasses import asdict

from benchmarks import routing
from benchmarks.options import Options
from benchmarks.peers import places, processes
from benchmarks.peers.measures import Found, Measure, found, rate_of, ready
from benchmarks.peers.places import Place
from benchmarks.peers.setups import setups
from benchmarks.report import Report, number

ROUNDS = 3
BEST = Measure(name="routing a message, best", unit="µs")
MEDIAN = Measure(name="routing a message, median", unit="µs")
ENGINE, CHALICE = "streamer's engine (in memory)", "Chalice's dispatch"


def run(report: Report, options: Options) -> None:
    """Streamer first, then each peer, with the same loads; then the ratios."""
    compare(report, "routing", _routing(options))
    report.note(
        f"{CHALICE} hands over the connection and the body: no identity, no gates, no limits on "
        "what is decoded; finding the action, validating and encoding are the application's"
    )
    all_found: dict[str, Found] = {}
    durability: dict[str, dict[str, str]] = {}
    for place in _places(options):
        ready(place)
        all_found[place.name] = found(report, options, place)
        durability[place.name] = asdict(place.durability)
    compare(report, "requests", all_found)
    report.keep("durability", durability)
    report.note(
        f"latencies at {rate_of(options)}/s; an idle connection is counted in what holds and "
        "answers it: Streamer's gateway and workers, the peers' uvicorn"
    )


def _places(options: Options) -> Iterator[Place]:
    with places.own(quick=options.quick) as own:
        yield own
    for setup in setups(quick=options.quick):
        with places.peer(setup) as place:
            yield place


def _routing(options: Options) -> dict[str, Found]:
    """Take turns, so that a slow moment of the machine meets both."""
    batches, times = options.size((200, 100), (10, 50))
    costs: dict[str, list[float]] = {ENGINE: [], CHALICE: []}
    command = [str(processes.python()), str(processes.HERE / "chalice_routing.py")]
    command += [str(batches), str(times)]
    for _ in range(ROUNDS):
        costs[ENGINE] += routing.costs_of("model", (batches, times))
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        costs[CHALICE] += json.loads(done.stdout)
    return {
        name: {BEST: min(those), MEDIAN: statistics.median(those)} for name, those in costs.items()
    }


def compare(report: Report, table: str, all_found: dict[str, Found]) -> None:
    """Add what was found, the first's ratios to the others, and a line wherever another wins."""
    own, *peers = all_found.values()
    report.keep(table, {"places": list(all_found), "measures": [one.name for one in own]})
    for name, figures in all_found.items():
        for measure, value in figures.items():
            report.add(f"{name}: {measure.name}", value, measure.unit)
    for name, figures in zip(list(all_found)[1:], peers, strict=True):
        for measure, value in figures.items():
            times = measure.times(own[measure], value)
            report.add(f"against {name}: {measure.name}", times, "times as good")
            if round(times, 2) < 1:
                report.note(
                    f"{name} wins in {measure.name}: {number(value)} {measure.unit} against "
                    f"{number(own[measure])}"
                )
