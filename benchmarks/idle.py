"""Ten thousand idle connections: memory, time to connect, and other traffic beside them."""

import time

from benchmarks.gateway import Gateway, gateway
from benchmarks.load import Figures, running
from benchmarks.options import Options
from benchmarks.report import Report

BOUND_KB, AIM_KB = 20.0, 10.0
BESIDE_RATE, BESIDE_CONNECTIONS = 1_000, 20
SETTLE_S = 1.0


def run(report: Report, options: Options) -> None:
    """Connect them, look, and send other traffic before and beside them."""
    count = options.crowd
    with gateway(quick=options.quick) as server:
        alone = _traffic(server, options)
        before, workers_before = server.memory(), server.worker_memory()
        with running("idle", server.port, connections=count) as load:
            load.until("open")
            time.sleep(SETTLE_S)
            held = server.memory() - before
            held_by_workers = server.worker_memory() - workers_before
            beside = _traffic(server, options)
            crowd = load.figures()
    report.keep("alone", alone)
    report.keep("beside", beside)
    report.keep("crowd", crowd)
    report.add("a connection (PSS)", held.pss / count / 1024, "KB", bound=BOUND_KB, aim=AIM_KB)
    report.add("a connection (RSS)", held.rss / count / 1024, "KB")
    report.add("a connection, in all workers", held_by_workers.pss / count / 1024, "KB")
    report.add(f"to connect {count:,}", crowd["seconds"], "s")
    report.add("connects a second", count / crowd["seconds"], "/s", more_is_better=True)
    report.add("handshake p99, 256 at once", crowd["handshake"].get("p99", 0), "ms")
    for name, figures in {"alone": alone, f"beside {count:,}": beside}.items():
        report.add(f"other traffic {name}: p50", figures["end"].get("p50", 0), "ms")
        report.add(f"other traffic {name}: p99", figures["end"].get("p99", 0), "ms")
    if crowd["closed_by_server"]:
        report.note(f"{crowd['closed_by_server']} connections were closed meanwhile")


def _traffic(server: Gateway, options: Options) -> Figures:
    with running(
        "requests",
        server.port,
        connections=BESIDE_CONNECTIONS,
        rate=options.size(BESIDE_RATE, 100),
        seconds=options.duration / 2,
        warmup=options.size(1.0, 0.2),
    ) as load:
        return load.figures()
