"""Subscribers of a topic: how long one event takes to reach them, and what they cost."""

import statistics

from benchmarks.gateway import gateway
from benchmarks.growth.series import FLOOR_MB, MB, Curve
from benchmarks.load import running
from benchmarks.options import Options
from benchmarks.report import Report

SIZES, QUICK_SIZES = (100, 300, 1_000, 3_000, 10_000), (10, 30, 100)


def measure(report: Report, options: Options) -> Curve:
    """Publish a few times to each number of them, on a gateway of its own."""
    curve = Curve(name="subscribers", title="Subscribers of a topic", along="subscribers")
    panel = "time, s"
    last = curve.total("an event to the last of them", unit="s", panel=panel)
    joining = curve.total("to connect and subscribe", unit="s", panel=panel)
    cpu = curve.total("CPU of an event", unit="s", panel="CPU of an event, s", floor=0.005)
    held = curve.total("gateway", unit="MB", panel="memory added, MB", floor=FLOOR_MB)
    for size in options.size(SIZES, QUICK_SIZES):
        rounds = options.size(9, 2)
        with gateway(quick=options.quick) as server:
            empty = server.memory().pss
            with running(
                "fanout",
                server.port,
                connections=size,
                action="announce",
                topic="all",
                rounds=rounds,
                patience=60,
            ) as load:
                load.until("begin")
                before = server.cpu()
                load.until("end")
                used = server.cpu() - before
                held.add(size, (server.memory().pss - empty) / MB)
                figures = load.figures()
        report.keep(f"subscribers: {size}", figures)
        last.add(size, statistics.median(one["last_ms"] for one in figures["rounds"]) / 1000)
        joining.add(size, figures["seconds"])
        cpu.add(size, (used.gateway + used.workers) / rounds)
        if figures["lost"] or figures["repeats"]:
            report.note(
                f"{size:,} subscribers: {figures['lost']} deliveries lost, "
                f"{figures['repeats']} repeated"
            )
    return curve
