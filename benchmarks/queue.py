"""Queued requests, enqueue to complete: a handler that does nothing, on SQLite, synchronous=FULL.

Through the real gateway and workers, then by threads of one process on the store alone.
"""

import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from streamer_plugin_sqlite import SqliteStore

from benchmarks.gateway import Cpu, Gateway, gateway
from benchmarks.load import Figures, running
from benchmarks.options import Options
from benchmarks.report import Report
from streamer_core.model.encode import new_update
from streamer_core.model.message import Priority
from streamer_core.model.request import Request, Status
from streamer_core.model.update import Kind
from streamer_core.ports import SystemClock

BOUND, AIM = 2_000, 5_000
FIRST_PROGRESS_BOUND_MS, FIRST_PROGRESS_AIM_MS = 50.0, 10.0
LATENCY_RATE = 200
CONNECTIONS, DEPTH = 100, 8
LANES = (Priority.HIGH, Priority.NORMAL, Priority.LOW)
LEASE_MS, KEEP_MS = 60_000, 7 * 86_400_000


def run(report: Report, options: Options) -> None:
    """Measure rates, the latency of a first progress, and the store alone."""
    with gateway(quick=options.quick) as server:
        _steady(report, options, server)
        _burst(report, options, server)
        _latency(report, options, server)
    _store_alone(report, options)


# -- through the gateway


def _steady(report: Report, options: Options, server: Gateway) -> None:
    """Each connection has some under way, and sends another when one is complete."""
    figures, cpu = _measured(
        server,
        connections=CONNECTIONS,
        depth=options.size(DEPTH, 1),
        action="noop",
        seconds=options.duration,
        warmup=options.size(2.0, 0.2),
    )
    report.keep("steady", figures)
    done, seconds = max(1, figures["ended_within"]), figures["seconds"]
    rate = done / seconds
    report.add("enqueue to complete", rate, "req/s", bound=BOUND, aim=AIM, more_is_better=True)
    report.add("  acknowledged: p50", figures["ack"].get("p50", 0), "ms")
    report.add("  acknowledged: p99", figures["ack"].get("p99", 0), "ms")
    report.add("  complete: p99", figures["end"].get("p99", 0), "ms")
    report.add("  gateway CPU", 1e6 * cpu.gateway / done, "µs/req")
    report.add("  workers CPU", 1e6 * cpu.workers / done, "µs/req")
    share = 100 * figures["window_generator_cpu_s"] / seconds
    report.add("  generator CPU of a core", share, "%")
    _check(report, "steady", figures)


def _burst(report: Report, options: Options, server: Gateway) -> None:
    """So many at once, each connection sending again when one is acknowledged."""
    count = options.size(20_000, 300)
    figures, _ = _measured(
        server,
        connections=CONNECTIONS,
        depth=options.size(DEPTH, 1),
        until_ack=1,
        count=count,
        action="noop",
        seconds=600,
        patience=300,
    )
    report.keep("burst", figures)
    report.add(f"{count:,} at once: acknowledged", count / figures["to_last_ack_s"], "req/s")
    report.add(f"{count:,} at once: complete", count / figures["to_last_end_s"], "req/s")
    _check(report, "at once", figures)


def _latency(report: Report, options: Options, server: Gateway) -> None:
    rate = options.size(LATENCY_RATE, 50)
    figures, _ = _measured(
        server,
        connections=20,
        rate=rate,
        action="report",
        seconds=options.duration,
        warmup=options.size(2.0, 0.2),
    )
    report.keep("latency", figures)
    first = figures["progress"]
    report.add(f"at {rate}/s: acknowledged p50", figures["ack"].get("p50", 0), "ms")
    report.add(f"at {rate}/s: acknowledged p99", figures["ack"].get("p99", 0), "ms")
    report.add(f"at {rate}/s: first progress p50", first.get("p50", 0), "ms")
    report.add(
        f"at {rate}/s: first progress p99",
        first.get("p99", 0),
        "ms",
        bound=FIRST_PROGRESS_BOUND_MS,
        aim=FIRST_PROGRESS_AIM_MS,
    )
    unreported = figures["end"]["count"] - first["count"]
    if unreported:
        report.note(f"at {rate}/s: {unreported} ended without a progress message")
    _check(report, f"at {rate}/s", figures)


def _check(report: Report, name: str, figures: Figures) -> None:
    if figures["errors"] or figures["missing"]:
        report.note(
            f"{name}: {figures['errors']} errors ({figures['first_error']}), "
            f"{figures['missing']} never ended"
        )


def _measured(server: Gateway, **given: float | str) -> tuple[Figures, Cpu]:
    with running("requests", server.port, **given) as load:
        load.until("begin")
        before = server.cpu()
        load.until("end")
        cpu = server.cpu() - before
        return load.figures(), cpu


# -- the store alone


def _store_alone(report: Report, options: Options) -> None:
    count = options.size(10_000, 200)
    with tempfile.TemporaryDirectory(prefix="streamer-benchmark-") as folder:
        report.add("SQLite alone: commits, one by one", _commits(Path(folder), count), "/s")
    for threads in options.size((1, 8, 64), (8,)):
        with tempfile.TemporaryDirectory(prefix="streamer-benchmark-") as folder:
            store = SqliteStore(Path(folder) / "store.db", SystemClock())
            for name, rate in _store_rates(store, threads, count).items():
                report.add(f"store, {threads} threads: {name}", rate, "/s")
            store.close()


def _commits(folder: Path, count: int) -> float:
    """Insert rows of a request's size; what this disk can do."""
    db = sqlite3.connect(folder / "plain.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, body TEXT)")
    began = time.perf_counter()
    for _ in range(count):
        db.execute("INSERT INTO row (body) VALUES (?)", ("x" * 500,))
    rate = count / (time.perf_counter() - began)
    db.close()
    return rate


def _store_rates(store: SqliteStore, threads: int, count: int) -> dict[str, float]:
    numbers = iter(range(count))
    drawing = threading.Lock()
    clock = SystemClock()

    def enqueue() -> bool:
        with drawing:
            number = next(numbers, None)
        if number is None:
            return False
        now = clock.now()
        store.enqueue(
            Request(
                ref=f"{number:032x}",
                id=str(number),
                action="noop",
                tenant="default",
                user="ann",
                payload={"text": "x" * 120},
                digest="0" * 64,
                created_at=now,
                due_at=now,
            )
        )
        return True

    claimed: list[Request] = []

    def claim() -> bool:
        lease = clock.now() + LEASE_MS
        taken = store.claim_next(LANES, worker="benchmark", lease_until=lease)
        claimed.extend(taken)
        return bool(taken)

    def finish() -> bool:
        try:
            request = claimed.pop()
        except IndexError:
            return False
        now = clock.now()
        end = new_update(Kind.COMPLETE, 1, {"result": None}, now)
        store.finish(
            request.ref,
            Status.COMPLETED,
            [end],
            fence=request.fence,
            expires_at=now + KEEP_MS,
        )
        return True

    rates = {verb.__name__: count / _worked(verb, threads) for verb in (enqueue, claim, finish)}
    rates["all three"] = 1 / sum(1 / rate for rate in rates.values())
    return rates


def _worked(verb: Callable[[], bool], threads: int) -> float:
    """Let threads do it until there is no more to do; give the seconds."""

    def loop() -> None:
        while verb():
            pass

    crew = [threading.Thread(target=loop) for _ in range(threads)]
    began = time.perf_counter()
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    return time.perf_counter() - began
