"""A benchmark's figures: a table to read, and JSON to keep."""

import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
_NUMBERS = re.compile(r"\[\s+([-+.,\deE\s]+?)\s+\]")
COLUMNS = ("figure", "value", "unit", "bound", "aim", "")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number.

    Args:
        name: what was measured.
        value: in `unit`.
        bound, aim: from DESIGN.md section 8, where it sets them.
        more_is_better: a rate rather than a cost.
    """

    name: str
    value: float
    unit: str = ""
    bound: float | None = None
    aim: float | None = None
    more_is_better: bool = False

    @property
    def verdict(self) -> str:
        """Say how it stands to bound and aim."""
        if self.aim is not None and self._reaches(self.aim):
            return "aim"
        if self.bound is not None:
            return "bound" if self._reaches(self.bound) else "MISSED"
        return ""

    def _reaches(self, limit: float) -> bool:
        return self.value >= limit if self.more_is_better else self.value <= limit


class Report:
    """What one benchmark found.

    Args:
        name: the benchmark's.
        title: a line about it.
        quick: sizes were those of a smoke test: figures mean nothing.
        command: what was typed to run it.
    """

    def __init__(self, name: str, title: str, *, quick: bool, command: str = "") -> None:
        self.name = name
        self.title = title
        self.quick = quick
        self.command = command
        self.figures: list[Figure] = []
        self.raw: dict[str, Any] = {}
        self.notes: list[str] = []
        self.failures: list[str] = []
        self._machine = machine()

    def add(self, name: str, value: float, unit: str = "", **bounds: Any) -> None:
        """Add a figure; `bounds` as in `Figure`."""
        self.figures.append(Figure(name=name, value=value, unit=unit, **bounds))

    def keep(self, name: str, raw: Mapping[str, Any]) -> None:
        """Keep what the load generator printed, for the JSON alone."""
        self.raw[name] = dict(raw)

    def note(self, sentence: str) -> None:
        """Add a line below the table."""
        self.notes.append(sentence)

    def fail(self, sentence: str) -> None:
        """Add a line below the table, and have the run end with an exit code that says so."""
        self.failures.append(sentence)

    def print(self) -> None:
        """Print the table."""
        rows = [
            (f.name, number(f.value), f.unit, number(f.bound), number(f.aim), f.verdict)
            for f in self.figures
        ]
        widths = [max(len(row[i]) for row in [COLUMNS, *rows]) for i in range(len(COLUMNS))]
        print(f"\n{self.name}: {self.title}{' (quick: figures mean nothing)' * self.quick}")
        for row in [COLUMNS, *rows]:
            cells = (
                text.rjust(width) if column in {1, 3, 4} else text.ljust(width)
                for column, (text, width) in enumerate(zip(row, widths, strict=True))
            )
            print("  " + "  ".join(cells).rstrip())
        for sentence in [*self.notes, *(f"FAILED: {one}" for one in self.failures)]:
            print(f"  {sentence}")

    def write(self, folder: Path) -> Path:
        """Write the JSON; give its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        what = {
            "benchmark": self.name,
            "title": self.title,
            "quick": self.quick,
            "command": self.command,
            **self._machine,
            "figures": [{**asdict(f), "verdict": f.verdict} for f in self.figures],
            "notes": self.notes,
            "failures": self.failures,
            "raw": self.raw,
        }
        path.write_text(_lines(json.dumps(what, indent=2)) + "\n", "utf-8")
        return path


def _lines(text: str) -> str:
    """Put each list of numbers on one line."""
    return _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)


def number(value: float | None) -> str:
    """Write a number so that it can be read: whole, or three digits; thousands apart."""
    if value is None:
        return ""
    if float(value).is_integer() or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def machine() -> dict[str, Any]:
    """Say where and when this is, how busy it was, and which commit."""
    commit = _git("rev-parse", "HEAD")
    # Figures written by the benchmark before this one are no change of what is measured.
    changes = _git("status", "--porcelain", "--", ".", ":!benchmarks/results", ":!docs")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "python": f"{platform.python_version()} ({_build()})",
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
        "commit": f"{commit}+changes" if changes else commit,
    }


def _git(*command: str) -> str:
    done = subprocess.run(["git", *command], cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip()


def _build() -> str:
    """Say who built this interpreter: without optimizations it takes a third longer for all."""
    if sys.base_prefix == "/usr":
        return f"{platform.freedesktop_os_release()['NAME']}'s build"
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    if "--enable-optimizations" in arguments:
        return "an optimized build"
    return "built without optimizations"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
