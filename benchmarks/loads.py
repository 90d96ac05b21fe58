"""What each installed plugin adds to a start: to import it and to make it.

The table of `streamer plugins --timings`, beside what the core's own import takes. What a plugin
does only where it serves, in `streamer_startup`, is not in it.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.options import Options
from benchmarks.report import Report

RUNS = 3
"""As many processes as `streamer plugins --timings` takes the fastest of."""

_PROJECT = """
[plugins.jwt]
keys = ["env:BENCHMARK_SECRET"]
algorithms = ["HS512"]
"""
_CORE = """
import time; began = time.perf_counter()
import streamer_core.app
print(time.perf_counter() - began)
"""
_TIMINGS = "from streamer_core.cli import main; main()", "plugins", "--timings", "--json"


def run(report: Report, _: Options) -> None:
    """Ask the command, in a project that has what plugins cannot be made without."""
    environment = {**os.environ, "BENCHMARK_SECRET": "s" * 64}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "streamer.toml").write_text(_PROJECT)

        def answer(*arguments: str) -> str:
            command = [sys.executable, *arguments]
            return subprocess.run(
                command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
            ).stdout

        core_ms = 1000 * min(float(answer("-c", _CORE)) for _ in range(RUNS))
        lines = answer("-c", *_TIMINGS).splitlines()
    report.add("import streamer_core.app", core_ms, "ms")
    *plugins, total = map(json.loads, lines)
    for one in sorted(plugins, key=lambda one: str(one["name"])):
        alone, in_order = (sum(one[which].values()) for which in ("alone", "in_order"))
        report.add(f"{one['name']}, alone", alone, f"ms = {alone / core_ms:.2f} of the core's")
        report.add("  of it to make it", one["alone"]["make_ms"], "ms")
        report.add("  after those before it", in_order, "ms")
    report.add("all, one after the other", total["total_ms"], "ms")
    report.note(f"each the fastest of {RUNS} fresh processes; alone: with what it requires")
