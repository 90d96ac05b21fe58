"""A store on a file of its own, and processes that share it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamer_plugin_sqlite import SqliteStore

from streamer_core.testing.clock import ManualClock

PREAMBLE = """
import os, sys, threading
from pathlib import Path
from streamer_core.errors import *
from streamer_core.model.message import Priority
from streamer_core.model.request import Status
from streamer_core.ports.clock import SystemClock
from streamer_core.testing.contracts.build import a_request, an_end
from streamer_plugin_sqlite import SqliteStore
clock = SystemClock()
LANES = list(Priority)

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # one write: whole lines only

def claim_next(store):
    worker, lease_until = str(os.getpid()), clock.now() + 60_000
    return next(iter(store.claim_next(LANES, worker=worker, lease_until=lease_until)), None)
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "streamer.db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(path: Path, clock: ManualClock) -> Iterator[SqliteStore]:
    store = SqliteStore(path, clock)
    yield store
    store.close()


@pytest.fixture
def start() -> Iterator[Start]:
    """Give a function that starts a process on a script; its arguments are in `sys.argv[1:]`."""
    started: list[subprocess.Popen[str]] = []

    def run(script: str, *args: object) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + script, *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()
