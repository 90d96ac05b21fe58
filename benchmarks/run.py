"""Runs all benchmarks, or those named."""

import argparse
import os
import shlex
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from benchmarks.growth import CURVES
from benchmarks.options import PLOTS, Options
from benchmarks.report import Report

NAMES = ("routing", "plugins", "start", "loads", "echo", "queue", "idle", "fanout", "reconnect")
ON_DEMAND = {
    "cold": "cold",
    "peers": "peers.compare",
    "growth": "growth.curves",
    "soak": "soak.run",
}
"""`cold` needs the emulators that `make test` sets up; `peers` the network once and a redis-server;
`growth` matplotlib; `soak` 25 minutes."""
RESULTS = Path(__file__).parent / "results"
SETTINGS = ("STREAMER_PLUGINS__LOCAL__", "STREAMER_PLUGINS__SQLITE__")
"""Variables that change what is measured."""


def main() -> None:
    """Run what the command line asks for."""
    given = _arguments()
    folder = given.out or (_scratch() if given.quick or given.curve else RESULTS)
    options = Options(
        quick=given.quick,
        rates=given.rate,
        seconds=given.seconds,
        connections=given.connections,
        curves=given.curve,
        plots=PLOTS if folder == RESULTS else folder / "growth",
        async_rate=given.async_rate,
        sync_rate=given.sync_rate,
    )
    failed = False
    for name in given.names or NAMES:
        began = time.monotonic()
        module = import_module(f"benchmarks.{ON_DEMAND.get(name, name)}")
        title = (module.__doc__ or "").partition("\n")[0].rstrip(".")
        report = Report(name, title, quick=given.quick, command=_command(name, given))
        module.run(report, options)
        report.print()
        path = report.write(folder)
        print(f"  {time.monotonic() - began:.1f} s; written to {path}", flush=True)
        failed = failed or bool(report.failures)
    sys.exit(failed)


def _scratch() -> Path:
    """Give the folder for what is not worth keeping."""
    return Path(tempfile.gettempdir()) / "streamer-benchmarks-quick"


def _command(name: str, given: argparse.Namespace) -> str:
    """Write what measures the same again."""
    words = [f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith(SETTINGS)]
    words += ["python", "-m", "benchmarks", name]
    for option, value in vars(given).items():
        if option in {"names", "out"} or not value:
            continue
        flag = "--" + option.replace("_", "-")
        values = value if isinstance(value, list) else [value]
        words += [flag if one is True else f"{flag}={one}" for one in values]
    return shlex.join(words)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join([*NAMES, *ON_DEMAND]))
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run through?")
    parser.add_argument(
        "--rate", type=int, action="append", default=[], help="offer so much to echo, too"
    )
    parser.add_argument("--seconds", type=float, help="of each rate and loop")
    parser.add_argument("--connections", type=int, help="for idle, fanout and reconnect")
    parser.add_argument(
        "--curve",
        action="append",
        default=[],
        choices=CURVES,
        help="of growth this one alone; then nothing goes to the repository's folders",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="where the JSON goes, and growth's plots; benchmarks/results and docs/growth",
    )
    parser.add_argument("--async-rate", type=int, help="queued requests a second, for soak")
    parser.add_argument("--sync-rate", type=int, help="messages a second, for soak")
    given = parser.parse_args()
    if unknown := set(given.names) - {*NAMES, *ON_DEMAND}:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    if sys.platform != "linux":
        parser.error("the benchmarks read /proc and use epoll: Linux only")
    return given
