"""A start that is to fail."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.e2e.kit.stand import ROOT

_COVERAGE = "COVERAGE_PROCESS_"


def start(folder: Path, before: Callable[[], None]) -> "subprocess.CompletedProcess[str]":
    """Run a gateway that ends by itself.

    Its lines are not counted by coverage, which writes a file: here that may be what fails.

    Args:
        folder: the project's.
        before: called in the new process, before it becomes the gateway.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith(_COVERAGE)}
    return subprocess.run(
        [sys.executable, "-m", "streamer_plugin_local", "--port", "0", "--config", str(folder)],
        cwd=folder,
        preexec_fn=before,
        env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
