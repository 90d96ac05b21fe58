"""A long run under load, with clients that come and go: does anything grow?

Queued requests and messages answered at once are offered side by side, and requests are kept for a
minute only, so that they expire and are purged all the while. The defaults are half of the one
bound (1,000 queued requests a second) and a fifth of the other (2,000 messages a second): half of
both, 5,000 messages a second with their clients, is more than two cores bear beside each other.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.gateway import Cpu, Gateway, gateway
from benchmarks.load import Figures, Load, running
from benchmarks.options import Options
from benchmarks.report import Report
from benchmarks.soak.growth import Growth, growth
from benchmarks.soak.samples import EMPTIED, Samples

ASYNC_RATE, SYNC_RATE, VISITS_PER_S = 1_000, 2_000, 8
SECONDS, EVERY_S = 20 * 60.0, 5.0
KEEP_S = 60
CONNECTIONS = 100
# A worker remembers 16,384 connections: all these places are taken before the first look.
WAVES, WAVE = 60, 500
_GRACE_S = 30.0


def run(report: Report, options: Options) -> None:
    """Run it, look all the while, and judge."""
    seconds = options.seconds or options.size(SECONDS, 10.0)
    keep_s = max(1, min(KEEP_S, int(seconds / 10)))
    sweep_s = -(-keep_s // 6)
    of_each = options.size("2", "1")
    env = {
        "STREAMER_PLUGINS__LOCAL__SYNC_WORKERS": of_each,
        "STREAMER_PLUGINS__LOCAL__ASYNC_WORKERS": of_each,
        "STREAMER_KEEP": f"{keep_s}s",
        "STREAMER_PLUGINS__LOCAL__SWEEP_INTERVAL": f"{sweep_s}s",
    }
    with gateway(quick=options.quick, env=env) as server:
        _fill_caches(server, options)
        samples = _soaked(report, options, server, seconds)
        left = _left(samples, keep_s + 3 * sweep_s + _GRACE_S)
    for table, rows in left.items():
        if rows:
            report.fail(f"{rows} rows are left in {table}, of what expired or has gone")
    report.add("rows left when all has expired", sum(left.values()), bound=0)
    _judge(report, samples)


def _fill_caches(server: Gateway, options: Options) -> None:
    for _ in range(options.size(WAVES, 1)):
        with running("requests", server.port, connections=WAVE, count=2 * WAVE, seconds=60) as load:
            load.figures()


def _soaked(report: Report, options: Options, server: Gateway, seconds: float) -> Samples:
    """Run the load and look; gives what was seen."""
    rates = {
        "noop": options.async_rate or options.size(ASYNC_RATE, 100),
        "echo": options.sync_rate or options.size(SYNC_RATE, 200),
    }
    visits = max(2.0, VISITS_PER_S * rates["noop"] / ASYNC_RATE)
    with ExitStack() as running_now:
        guests = running_now.enter_context(_visitors(server.port, visits, seconds))
        loads = {
            action: running_now.enter_context(
                running(
                    "requests",
                    server.port,
                    connections=CONNECTIONS,
                    action=action,
                    rate=rate,
                    seconds=seconds,
                    patience=60,
                )
            )
            for action, rate in rates.items()
        }
        samples = Samples(server, {"visitors": guests.pid})
        _watch(report, samples, server, seconds)
        for action, load in loads.items():
            _served(report, action, rates[action], load)
        _visited(report, guests)
    return samples


def _watch(report: Report, samples: Samples, server: Gateway, seconds: float) -> None:
    every_s = min(EVERY_S, seconds / 20)
    before, began = server.cpu(), time.monotonic()
    try:
        for number in range(int(seconds / every_s)):
            time.sleep(max(0.0, began + number * every_s - time.monotonic()))
            samples.take(round(time.monotonic() - began, 2))
        _use(report, server.cpu() - before, time.monotonic() - began)
    except (FileNotFoundError, ProcessLookupError) as error:
        report.fail(f"a process ended: {error}")


@contextmanager
def _visitors(port: int, per_s: float, seconds: float) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "benchmarks.soak.visitors", str(port), str(per_s)]
    process = subprocess.Popen([*command, str(seconds)], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


# -- what it was like


def _served(report: Report, action: str, rate: int, load: Load) -> None:
    figures: Figures = load.figures()
    report.keep(action, figures)
    done = figures["ended_within"] / figures["seconds"]
    report.add(f"{action}, at {rate:,}/s: done", done, "/s", more_is_better=True)
    report.add(f"{action}, at {rate:,}/s: p99", figures["end"].get("p99", 0), "ms")
    report.add(f"{action}, at {rate:,}/s: sent late p99", figures["lag"].get("p99", 0), "ms")
    unserved = figures["errors"] + figures["missing"] + figures["closed_by_server"]
    report.add(f"{action}: not answered", unserved, bound=0)
    if unserved:
        report.fail(
            f"{action}: {figures['errors']} errors ({figures['first_error']}), "
            f"{figures['missing']} never ended, {figures['closed_by_server']} closed"
        )


def _visited(report: Report, guests: "subprocess.Popen[str]") -> None:
    told, _ = guests.communicate(timeout=120)
    visits = json.loads(told)
    report.keep("visits", visits)
    report.add("visits", sum(visits["done"].values()))
    report.add("visits that went wrong", sum(visits["failed"].values()), bound=0)
    for what, count in visits["failed"].items():
        report.fail(f"{count} visits: {what}")


def _use(report: Report, cpu: Cpu, seconds: float) -> None:
    report.add("gateway CPU of a core", 100 * cpu.gateway / seconds, "%")
    report.add("workers CPU of a core", 100 * cpu.workers / seconds, "%")


def _left(samples: Samples, bound_s: float) -> dict[str, int]:
    """Wait until everything has expired and is purged; give the rows that are left."""
    deadline = time.monotonic() + bound_s
    while any((rows := samples.rows(EMPTIED)).values()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return rows


# -- the verdict


def _judge(report: Report, samples: Samples) -> None:
    report.keep(
        "series", {"seconds": samples.times, **{n: s.values for n, s in samples.series.items()}}
    )
    for name, series in samples.series.items():
        if not series.judged:
            continue
        found = growth(
            samples.times,
            series.values,
            noise=series.noise,
            allowed_per_h=series.allowed_per_h,
            kept=series.kept,
        )
        unit = f"{series.unit}/h" if series.unit else "/h"
        label = f"{name}, of {found.level:,.0f} {series.unit}".rstrip()
        report.add(label, found.slope_per_h, unit, bound=found.allowed_per_h)
        if found.grows:
            report.fail(_sentence(name, unit, found))
    report.note(
        "Slopes are those of Theil and Sen over eight parts of the second half. The bound is what "
        "two measurements may differ by, as a rate, and 6 MB or 6 descriptors or threads an hour."
    )


def _sentence(name: str, unit: str, found: Growth) -> str:
    return (
        f"{name} grows by {found.slope_per_h:,.1f} {unit}, "
        f"more than the {found.allowed_per_h:,.1f} let pass"
    )
