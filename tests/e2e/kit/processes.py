"""Processes as Linux shows them."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def children(pid: int) -> list[int]:
    """Give the living children of a process, the oldest first."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state not in "ZX":
                found.append(int(stat.parent.name))
    return sorted(found)


def lives(pid: int) -> bool:
    """Tell whether a process lives."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def kill(pid: int) -> None:
    """Kill a process of ours, unless it was quicker."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def memory_mb(pid: int, field: str = "VmRSS") -> float:
    """Give how much memory a process has, or (VmHWM) has had at most."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"no {field} of {pid}")


def own_memory_mb() -> float:
    """Give how much memory this process has."""
    return memory_mb(os.getpid())
