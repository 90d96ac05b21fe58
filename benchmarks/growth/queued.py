"""Queued requests: what enqueue and claim cost while so many wait, and where those are kept.

The store alone, by one caller; then the gateway with all its workers busy: what comes waits.
"""

import tempfile
from pathlib import Path

from streamer_plugin_sqlite import SqliteStore

from benchmarks.gateway import Gateway, gateway
from benchmarks.growth import fill
from benchmarks.growth.series import FLOOR_MB, MB, Curve
from benchmarks.growth.verbs import Verbs
from benchmarks.load import Figures, running
from benchmarks.options import Options
from benchmarks.report import Report
from streamer_core.ports import SystemClock

SIZES = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
QUICK_SIZES = (20, 60, 200)
CONNECTIONS = 100
BUSY = 200
"""More than all workers run at once."""


def measure(report: Report, options: Options) -> Curve:
    """Let more and more wait."""
    curve = Curve(name="queued", title="Queued requests", along="waiting requests")
    _store_alone(curve, options)
    _through_gateway(curve, report, options)
    return curve


def _store_alone(curve: Curve, options: Options) -> None:
    enqueue, claim = curve.each("enqueue"), curve.each("claim")
    clock = SystemClock()
    with tempfile.TemporaryDirectory(prefix="streamer-benchmark-") as folder:
        store = SqliteStore(Path(folder) / "streamer.db", clock)
        verbs = Verbs(store, clock, options)
        waiting = 0
        for size in options.size(SIZES, QUICK_SIZES):
            verbs.wait(size - waiting)
            waiting = size
            costs = verbs.costs()
            enqueue.add(size, costs["enqueue"])
            claim.add(size, costs["claim"])
        store.close()


def _through_gateway(curve: Curve, report: Report, options: Options) -> None:
    with gateway(quick=options.quick) as server:
        report.keep("queued: to make all workers busy", _enqueued(server, BUSY))
        acknowledged = curve.each("enqueue through the gateway")
        panel = "memory added, MB"
        gateway_mb, workers_mb = server.memory().pss / MB, server.worker_memory().pss / MB
        held = curve.total("gateway", unit="MB", panel=panel, floor=FLOOR_MB, base=gateway_mb)
        by_workers = curve.total("workers", unit="MB", panel=panel, floor=FLOOR_MB, base=workers_mb)
        stored = curve.total(
            "database", unit="MB", panel="database added, MB", floor=0.1, base=_stored(server)
        )
        waiting = 0
        for size in options.size(SIZES, QUICK_SIZES):
            figures = _enqueued(server, size - waiting)
            report.keep(f"queued: up to {size}", figures)
            acknowledged.add(size, 1e6 * figures["to_last_ack_s"] / (size - waiting))
            waiting = size
            held.add(size, server.memory().pss / MB)
            by_workers.add(size, server.worker_memory().pss / MB)
            stored.add(size, _stored(server))


def _enqueued(server: Gateway, many: int) -> Figures:
    """Send so many, each connection again when one is acknowledged."""
    connections = min(many, CONNECTIONS)
    with running(
        "requests",
        server.port,
        connections=connections,
        count=many,
        until_ack=1,
        action="hold",
        seconds=600,
        patience=0.5,  # for ends that will not come
    ) as load:
        figures = load.figures()
    if figures["acked"] < many:
        raise RuntimeError(
            f"{figures['acked']} of {many} were acknowledged; {figures['first_error']}"
        )
    return figures


def _stored(server: Gateway) -> float:
    return fill.megabytes(server.folder / "streamer.db")
