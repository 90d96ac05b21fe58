"""`python examples/quickstart/demo.py`, as its README says."""

import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.quickstart.sales import copied, totals

_BOUND_S = 100


def test_the_demo_runs_and_adds_up_rightly(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    done = subprocess.run(
        [sys.executable, folder / "demo.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=_BOUND_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "{'greeting': 'Hello, world'}" in done.stdout
    assert "1,000,000 rows\n" in done.stdout
    shown = dict(re.findall(r"^ +(east|north|south|west) +([\d.]+)$", done.stdout, re.MULTILINE))
    assert shown == totals(folder / ".streamer" / "sales.csv")
    assert "Traceback" not in done.stderr
