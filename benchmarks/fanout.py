"""One `ctx.publish` to ten thousand subscribed connections: time to the last delivery."""

import statistics

from benchmarks.gateway import gateway
from benchmarks.load import running
from benchmarks.options import Options
from benchmarks.report import Report

BOUND_S, AIM_S = 2.0, 0.5


def run(report: Report, options: Options) -> None:
    """Publish a few times, one after the other."""
    count, rounds = options.crowd, options.size(7, 2)
    with (
        gateway(quick=options.quick) as server,
        running(
            "fanout",
            server.port,
            connections=count,
            action="announce",
            topic="all",
            rounds=rounds,
            patience=60,
        ) as load,
    ):
        load.until("begin")
        before = server.cpu()
        load.until("end")
        cpu = server.cpu() - before
        figures = load.figures()
    report.keep("fanout", figures)
    last = [one["last_ms"] / 1000 for one in figures["rounds"]]
    first = [one["first_ms"] for one in figures["rounds"]]
    answer = [one["answer_ms"] / 1000 for one in figures["rounds"]]
    report.add(f"to the last of {count:,}, median", statistics.median(last), "s")
    report.add(f"to the last of {count:,}, worst", max(last), "s", bound=BOUND_S, aim=AIM_S)
    report.add("to the first, median", statistics.median(first), "ms")
    report.add("to the publisher's answer, median", statistics.median(answer), "s")
    report.add("a delivery: p50", figures["delivery"].get("p50", 0), "ms")
    report.add("a delivery: p99", figures["delivery"].get("p99", 0), "ms")
    report.add("gateway CPU", 1e6 * cpu.gateway / rounds / count, "µs/delivery")
    report.add("workers CPU", 1e6 * cpu.workers / rounds / count, "µs/delivery")
    report.add("connect and subscribe", figures["seconds"], "s")
    report.add("deliveries missing", figures["lost"], bound=0)
    report.add("deliveries repeated", figures["repeats"], bound=0)
