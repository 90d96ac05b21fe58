"""Connections: what the gateway holds, how long they take to connect, other traffic beside them.

One gateway; the connections of a size are added to those of the sizes before.
"""

import time
from contextlib import ExitStack

from benchmarks.gateway import gateway
from benchmarks.growth.series import FLOOR_MB, MB, Curve
from benchmarks.load import running
from benchmarks.options import Options
from benchmarks.report import Report

SIZES, QUICK_SIZES = (100, 300, 1_000, 3_000, 10_000), (10, 30, 100)
SETTLE_S = 0.5
BESIDE, RATE = 20, 1_000


def measure(report: Report, options: Options) -> Curve:
    """Add connections, step by step."""
    curve = Curve(name="connections", title="Open connections", along="connections")
    with gateway(quick=options.quick) as server, ExitStack() as crowd:
        _traffic(server.port, 0, report, options)  # makes what the first messages make
        empty = server.memory().pss / MB
        empty_workers = server.worker_memory().pss / MB
        panel = "memory added, MB"
        held = curve.total("gateway", unit="MB", panel=panel, floor=FLOOR_MB, base=empty)
        by_workers = curve.total(
            "workers", unit="MB", panel=panel, floor=FLOOR_MB, base=empty_workers
        )
        connecting = curve.total("to connect them", unit="s", panel="time to connect, s")
        beside = curve.each("echo beside them, p50", unit="ms", panel="time of a message, ms")
        open_now, seconds = 0, 0.0
        for size in options.size(SIZES, QUICK_SIZES):
            began = time.perf_counter()
            load = crowd.enter_context(running("idle", server.port, connections=size - open_now))
            load.until("open")
            seconds += time.perf_counter() - began
            open_now = size
            time.sleep(SETTLE_S)
            held.add(size, server.memory().pss / MB)
            by_workers.add(size, server.worker_memory().pss / MB)
            connecting.add(size, seconds)
            beside.add(size, _traffic(server.port, size, report, options))
    return curve


def _traffic(port: int, beside: int, report: Report, options: Options) -> float:
    with running(
        "requests",
        port,
        connections=BESIDE,
        rate=options.size(RATE, 100),
        seconds=options.size(4.0, 0.3),
        warmup=options.size(0.5, 0.1),
    ) as load:
        figures = load.figures()
    report.keep(f"connections: echo beside {beside}", figures)
    p50: float = figures["end"]["p50"]
    return p50
