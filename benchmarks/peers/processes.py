"""Peers' own environment, Redis and processes: made in scratch folders, gone afterwards."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.gateway import memory_of

HERE = Path(__file__).parent
START_S, END_S = 60.0, 20.0


def python() -> Path:
    """Give the Python that has the peers; installs them once for each state of the lists."""
    wanted, constraints = HERE / "requirements.txt", HERE.parents[1] / "constraints.txt"
    digest = hashlib.sha256(wanted.read_bytes() + constraints.read_bytes()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"streamer-peers-{os.getuid()}-{digest}"
    program = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(program), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(wanted), "-c", str(constraints)], check=True)
        (folder / "complete").touch()
    return program


@contextmanager
def redis(appendfsync: str, folder: Path) -> Iterator[tuple[str, int]]:
    """Run a Redis on a free port; give its URL and process id.

    Args:
        appendfsync: `no`: snapshots only, as Redis comes; `always`: what is acknowledged is on
            disk, as with SQLite `synchronous=FULL`.
        folder: for its data and log.
    """
    program = os.environ.get("REDIS_SERVER") or shutil.which("redis-server")
    if not program:
        raise RuntimeError("no redis-server: apt-get install redis-server, or set REDIS_SERVER")
    port = free_port()
    durable = ["--appendonly", "yes", "--appendfsync", "always"]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--loglevel", "warning", *(durable if appendfsync == "always" else [])]
    with process(command, {}, folder / "redis.log") as pid:
        wait_for(port)
        yield f"redis://127.0.0.1:{port}/0", pid


@contextmanager
def process(command: list[str], environment: dict[str, str], log: Path) -> Iterator[int]:
    """Run a program among the peers' files; give its process id. Its group ends with it."""
    with log.open("wb") as out:
        started = subprocess.Popen(
            command,
            cwd=HERE,
            env={**os.environ, **environment},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield started.pid
    finally:
        started.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):  # what does not end by itself is killed
            started.wait(END_S)
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def memory_of_all(parents: list[int]) -> int:
    """Give the PSS of processes and all they have started, in bytes."""
    total, waiting = 0, list(parents)
    while waiting:
        pid = waiting.pop()
        total += memory_of(pid).pss
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # a thread that has just ended
                waiting.extend(map(int, (task / "children").read_text().split()))
    return total


def free_port() -> int:
    """Find a port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    """Wait until somebody listens."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nobody listens on {port}")
