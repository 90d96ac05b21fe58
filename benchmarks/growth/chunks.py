"""Chunks a request: how long it takes to its end, what processes hold, what is stored."""

from pathlib import Path

from benchmarks.gateway import Gateway, gateway
from benchmarks.growth import fill
from benchmarks.growth.series import FLOOR_MB, MB, Curve
from benchmarks.load import running
from benchmarks.options import Options
from benchmarks.report import Report

SIZES = {1: 100, 10: 50, 100: 20, 1_000: 7, 10_000: 3}
"""Chunks a request, and how many requests one after the other."""
QUICK_SIZES = {1: 3, 10: 3, 100: 3}


def measure(report: Report, options: Options) -> Curve:
    """Let a handler emit more and more, for one client."""
    curve = Curve(name="chunks", title="Chunks of a request", along="chunks")
    sizes = options.size(SIZES, QUICK_SIZES)
    with gateway(quick=options.quick) as server:
        _emitted(server, 1, max(sizes.values()), report)  # makes what first requests make
        took = curve.total(
            "to its end",
            unit="ms",
            panel="time of a request added, ms",
            floor=1.0,
            base=_emitted(server, 0, max(sizes.values()), report),
        )
        panel = "memory added, MB"
        gateway_peak, workers_peak = _peaks(server)
        held = curve.total(
            "gateway, peak", unit="MB", panel=panel, floor=FLOOR_MB, base=gateway_peak
        )
        by_workers = curve.total(
            "workers, peak", unit="MB", panel=panel, floor=FLOOR_MB, base=workers_peak
        )
        stored = curve.total("stored", unit="KB", panel="database, KB a request", floor=0.1)
        for size, times in sizes.items():
            before = fill.megabytes(server.folder / "streamer.db")
            took.add(size, _emitted(server, size, times, report))
            after = fill.megabytes(server.folder / "streamer.db")
            stored.add(size, 1000 * (after - before) / times)
            gateway_peak, workers_peak = _peaks(server)
            held.add(size, gateway_peak)
            by_workers.add(size, workers_peak)
    return curve


def _emitted(server: Gateway, chunks: int, times: int, report: Report) -> float:
    (server.folder / "pieces").write_text(str(chunks))
    with running(
        "requests",
        server.port,
        connections=1,
        count=times,
        action="pieces",
        seconds=600,
        patience=120,
    ) as load:
        figures = load.figures()
    report.keep(f"chunks: {chunks} a request", figures)
    if figures["ended"] < times:
        raise RuntimeError(f"{chunks} chunks: {figures['errors']} errors: {figures['first_error']}")
    p50: float = figures["end"]["p50"]
    return p50


def _peaks(server: Gateway) -> tuple[float, float]:
    """Give the most that gateway and workers ever held, in MB."""
    return _peak(server.pid), sum(map(_peak, server.workers))


def _peak(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / MB
    raise RuntimeError(f"process {pid} has ended")
