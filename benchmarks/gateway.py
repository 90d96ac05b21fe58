"""The real gateway with its worker processes, in a folder of its own, and what they cost."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
END_S = 60

PROJECT = """\
[streamer]
handlers = ["handlers"]
plugins = ["local", "sqlite"]

[plugins.sqlite]
path = "streamer.db"
synchronous = "FULL"

[plugins.local]
connects_per_s = 100000  # API Gateway's 500 a second would be all that connecting measures
"""
ONE_WORKER_EACH = "sync_workers = 1\nasync_workers = 1\n"


@dataclass(frozen=True, kw_only=True)
class Cpu:
    """Seconds of CPU used so far."""

    gateway: float
    workers: float

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(gateway=self.gateway - other.gateway, workers=self.workers - other.workers)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes; PSS counts a page shared by n processes as one n-th."""

    rss: int
    pss: int

    def __sub__(self, other: "Memory") -> "Memory":
        return Memory(rss=self.rss - other.rss, pss=self.pss - other.pss)


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """A running one."""

    port: int
    pid: int
    workers: list[int]
    folder: Path

    def cpu(self) -> Cpu:
        """Give what its processes have used."""
        return Cpu(gateway=_cpu_of(self.pid), workers=sum(map(_cpu_of, self.workers)))

    def memory(self) -> Memory:
        """Give what the gateway process holds."""
        return memory_of(self.pid)

    def worker_memory(self) -> Memory:
        """Give what the workers hold together."""
        each = [memory_of(pid) for pid in self.workers]
        return Memory(rss=sum(one.rss for one in each), pss=sum(one.pss for one in each))


@contextmanager
def gateway(*, quick: bool = False, env: Mapping[str, str] | None = None) -> Iterator[Gateway]:
    """Run `streamer dev` with the benchmarks' handlers, else as it comes.

    Other settings are tried by the environment:
    `STREAMER_PLUGINS__LOCAL__SYNC_WORKERS=1 python -m benchmarks echo`.

    Args:
        quick: with one worker process of each kind, which starts sooner.
        env: more of the environment, which holds for this one.
    """
    with tempfile.TemporaryDirectory(prefix="streamer-benchmark-") as name:
        folder = Path(name)
        (folder / "streamer.toml").write_text(PROJECT + ONE_WORKER_EACH * quick)
        (folder / "handlers.py").write_text((HERE / "handlers.py").read_text())
        log = folder / "gateway.log"
        process, ready = _started(folder, log, env or {})
        try:
            yield Gateway(
                port=ready["port"], pid=process.pid, workers=ready["workers"], folder=folder
            )
        finally:
            _end(process)
            _show_problems(log)


def _started(
    folder: Path, log: Path, env: Mapping[str, str]
) -> tuple["subprocess.Popen[bytes]", dict[str, Any]]:
    read, write = os.pipe()
    command = [sys.executable, "-m", "streamer_plugin_local", "--port", "0", "--no-reload"]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, "--ready-fd", str(write)],
            cwd=folder,
            pass_fds=[write],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            env={**os.environ, **env},
        )
    os.close(write)
    with os.fdopen(read) as told:
        line = told.readline()
    if not line:
        raise RuntimeError(f"the gateway did not start ({process.wait(END_S)}): {log.read_text()}")
    return process, json.loads(line)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        print("   the gateway had to be killed", file=sys.stderr)


def _show_problems(log: Path) -> None:
    lines = log.read_text(errors="replace").splitlines()
    lines = [line for line in lines if '"level": "info"' not in line]
    for line in lines[:5]:
        print(f"   gateway: {line[:300]}", file=sys.stderr)
    if len(lines) > 5:
        print(f"   gateway: … {len(lines) - 5} more lines", file=sys.stderr)


def _cpu_of(pid: int) -> float:
    # Fields are counted behind the name, which may hold anything: proc(5), utime and stime.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def memory_of(pid: int) -> Memory:
    """Read a process's memory."""
    kilobytes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, *_ = line.split()
        kilobytes[name.rstrip(":")] = int(value)
    return Memory(rss=kilobytes["Rss"] * 1024, pss=kilobytes["Pss"] * 1024)
