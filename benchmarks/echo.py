"""A sync message there and back: client, gateway, worker, over 100 connections.

The closed loop (each connection sends again when it is answered) shows what can be done; the
offered rate, with Poisson arrivals and latency from the intended time of sending, what it is like.
"""

from benchmarks.gateway import Cpu, Gateway, gateway
from benchmarks.load import Figures, running
from benchmarks.options import Options
from benchmarks.report import Report

CONNECTIONS = 100
BYTES = 200
BOUND_RATE = 10_000


def run(report: Report, options: Options) -> None:
    """Measure both."""
    warmup = options.size(2.0, 0.2)
    with gateway(quick=options.quick) as server:
        figures, cpu = _measured(server, seconds=options.duration, warmup=warmup)
        rate = figures["ended_within"] / figures["seconds"]
        report.keep("closed", figures)
        report.add("closed loop", rate, "msg/s", bound=10_000, aim=20_000, more_is_better=True)
        _latency(report, "closed loop", figures)
        _costs(report, figures, cpu)
        for offered in dict.fromkeys([options.size(BOUND_RATE, 500), *options.rates]):
            figures, cpu = _measured(server, rate=offered, seconds=options.duration, warmup=warmup)
            report.keep(f"at {offered}", figures)
            name = f"at {offered:,}/s"
            done = figures["ended_within"] / figures["seconds"]
            report.add(f"{name}: answered", done, "msg/s", more_is_better=True)
            _latency(report, name, figures, bound=50.0 if offered >= BOUND_RATE else None)
            report.add(f"{name}: sent late p99", figures["lag"].get("p99", 0), "ms")
            _costs(report, figures, cpu)


def _measured(server: Gateway, **given: float) -> tuple[Figures, Cpu]:
    with running(
        "requests", server.port, connections=CONNECTIONS, bytes=BYTES, action="echo", **given
    ) as load:
        load.until("begin")
        before = server.cpu()
        load.until("end")
        cpu = server.cpu() - before
        return load.figures(), cpu


def _latency(report: Report, name: str, figures: Figures, bound: float | None = None) -> None:
    latency = figures["end"]
    report.add(f"{name}: p50", latency.get("p50", 0), "ms")
    report.add(f"{name}: p99", latency.get("p99", 0), "ms", bound=bound)
    report.add(f"{name}: p99.9", latency.get("p999", 0), "ms")
    unanswered = figures["errors"] + figures["missing"]
    report.add(f"{name}: not answered, and in no latency", unanswered, bound=0)
    if figures["errors"]:
        report.note(f"{name}: first error {figures['first_error']}")


def _costs(report: Report, figures: Figures, cpu: Cpu) -> None:
    messages = max(1, figures["ended_within"])
    report.add("  gateway CPU", 1e6 * cpu.gateway / messages, "µs/msg")
    report.add("  workers CPU", 1e6 * cpu.workers / messages, "µs/msg")
    generator = figures["window_generator_cpu_s"]
    report.add("  generator CPU", 1e6 * generator / messages, "µs/msg")
    report.add("  generator CPU of a core", 100 * generator / figures["seconds"], "%")
