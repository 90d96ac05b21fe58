"""Plugins: what each adds to a start and to routing a message.

Fresh processes, with plugins that are really installed, as in `start.py`: one that brings store,
transport and authentication, and beside it as many small ones with two hooks on a message's way.
"""

import tempfile
from pathlib import Path

from benchmarks import start
from benchmarks.growth.series import Curve
from benchmarks.options import Options
from benchmarks.report import Report

SIZES, QUICK_SIZES = (0, 2, 5, 10, 20), (0, 2, 4)
STARTS, MESSAGES = 15, 5
"""Processes for each size."""

ROUTING = """
import time
from streamer_core import Settings, Streamer
from streamer_core.model.connection import Handshake
app = Streamer.start(Settings.load())
connection = app.connect(Handshake(connection_id="c"))
data = b'{"action": "echo", "payload": {"text": "x"}}'
def batch(times=200):
    began = time.perf_counter()
    for _ in range(times):
        app.receive(connection, data)
    return (time.perf_counter() - began) / times
assert b'"success":true' in app.receive(connection, data).frames[0]
print(min(batch() for _ in range(20)), len(app.plugins), flush=True)
"""
"""Prints seconds a message, in the best of some batches."""


def measure(_report: Report, options: Options) -> Curve:
    """Run fresh processes with each number of plugins, by turns; the best of each counts."""
    curve = Curve(name="plugins", title="Plugins loaded", along="small plugins")
    sizes = options.size(SIZES, QUICK_SIZES)
    starts: dict[int, list[float]] = {size: [] for size in sizes}
    messages: dict[int, list[float]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory(prefix="streamer-benchmark-") as name:
        for size in sizes:
            folder = Path(name) / str(size)
            folder.mkdir()
            start.install(folder, size + 1)
            start.project(folder / "project", size + 1)
        runs = options.size(STARTS * [starts] + MESSAGES * [messages], [starts, messages])
        for found in runs:
            program = ROUTING if found is messages else start.STREAMER
            for size in sizes:
                folder = Path(name) / str(size)
                run = start.run_in(folder / "project", program, folder, size + 1)
                found[size].append(run.inside)
    began = curve.total(
        "a start", unit="ms", panel="time of a start, ms", floor=1.0, base=1e3 * min(starts[0])
    )
    routed = curve.total(
        "a message",
        unit="µs",
        panel="routing a message, µs",
        floor=1.0,
        base=1e6 * min(messages[0]),
    )
    for size in sizes:
        began.add(size, 1e3 * min(starts[size]))
        routed.add(size, 1e6 * min(messages[size]))
    return curve
