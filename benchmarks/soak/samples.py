"""What is looked at every few seconds: processes by /proc, the database by its files and rows."""

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gateway import Gateway, memory_of

MB = 1024 * 1024
COUNTED = ("requests", "updates", "subscriptions", "connections")
"""Tables with rows that come and go with the load."""
EMPTIED = (*COUNTED, "bodies", "states", "aside", "slots")
"""Tables in which nothing is left once every request has expired and every client has gone."""
_KEPT = {"changes": 11_000}  # ten thousand for slow readers, trimmed by the thousand


@dataclass(kw_only=True)
class Series:
    """One quantity over time.

    Args:
        unit: of `values`.
        noise: a rise of so much is none: what measuring it once and again may differ by.
        allowed_per_h: growth that is let pass, too slow to tell from the noise of such a run.
        kept: so much is kept on purpose: up to there nothing grows.
        judged: whether growth of it is anybody's fault.
    """

    unit: str = ""
    noise: float = 0.0
    allowed_per_h: float = 0.0
    kept: float = 0.0
    judged: bool = True
    values: list[float] = field(default_factory=list)


class Samples:
    """All series of a run.

    Args:
        server: the gateway that is looked at.
        others: more processes to look at, by name.
    """

    def __init__(self, server: Gateway, others: dict[str, int]) -> None:
        self.times: list[float] = []
        self.series: dict[str, Series] = {}
        self._processes = {"gateway": server.pid, **_named(server), **others}
        self._database = server.folder / "streamer.db"

    def take(self, at: float) -> None:
        """Look once.

        Raises:
            FileNotFoundError, ProcessLookupError: a process has ended.
        """
        looked = {
            name: (memory_of(pid), _count(pid, "fd"), _count(pid, "task"))
            for name, pid in self._processes.items()
        }
        self.times.append(at)
        for name, (memory, descriptors, threads) in looked.items():
            self._add(f"{name}: RSS", memory.rss / MB, unit="MB", noise=1, allowed_per_h=6)
            # It rises where another process that shared pages has ended, of whatever program.
            self._add(f"{name}: PSS", memory.pss / MB, unit="MB", judged=False)
            self._add(f"{name}: descriptors", descriptors, noise=3, allowed_per_h=6)
            self._add(f"{name}: threads", threads, noise=3, allowed_per_h=6)
        for suffix in ("", "-wal"):
            path = self._database.with_name(self._database.name + suffix)
            size = path.stat().st_size / MB
            self._add(f"streamer.db{suffix}", size, unit="MB", noise=2, allowed_per_h=6)
        for table, rows in self.rows((*COUNTED, "changes")).items():
            series = self._add(f"rows: {table}", rows, kept=_KEPT.get(table, 0))
            # The sweeper purges in strokes: how many rows wait for the next is chance.
            series.noise = 0.05 * max(100.0, *series.values)

    def rows(self, tables: tuple[str, ...]) -> dict[str, int]:
        """Count rows, without holding up a writer or a checkpoint for long."""
        db = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)
        try:
            return {
                table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables
            }
        finally:
            db.close()

    def _add(self, name: str, value: float, **about: Any) -> Series:
        series = self.series.setdefault(name, Series(**about))
        series.values.append(round(value, 2))
        return series


def _named(server: Gateway) -> dict[str, int]:
    # The gateway starts its sync workers first; the soak has it start as many of either kind.
    half = len(server.workers) // 2
    kinds = ["sync"] * half + ["async"] * half
    names = [f"{kind} worker {n % half + 1}" for n, kind in enumerate(kinds)]
    return dict(zip(names, server.workers, strict=True))


def _count(pid: int, what: str) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/{what}").iterdir())
