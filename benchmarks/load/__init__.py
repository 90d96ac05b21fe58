"""The load generator, a C program: Python would be measured along with the gateway."""

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
END_S = 30

Figures = dict[str, Any]
"""What a run printed at its end; latencies are in milliseconds."""


def build() -> Path:
    """Compile it with the system's `cc`, once for each state of its sources; give the program."""
    sources = sorted(HERE.glob("*.c"))
    text = b"".join(file.read_bytes() for file in sorted(HERE.glob("*.[ch]")))
    folder = Path(tempfile.gettempdir()) / f"streamer-benchmarks-{os.getuid()}"
    program = folder / f"load-{hashlib.sha256(text).hexdigest()[:16]}"
    if not program.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        made = program.with_suffix(f".{os.getpid()}")
        command = ["cc", "-std=gnu11", "-O2", "-o", str(made), *map(str, sources), "-lm"]
        subprocess.run(command, check=True)
        made.rename(program)
    return program


class Load:
    """A run of the generator.

    Args:
        mode: `requests`, `idle`, `fanout` or `reconnect`.
        port: the gateway's.
        options: as `load.c` lists them.
    """

    def __init__(self, mode: str, port: int, **options: float | str) -> None:
        given = [f"{name}={value}" for name, value in {"port": port, **options}.items()]
        self._process = subprocess.Popen(
            [str(build()), mode, *given], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def until(self, event: str) -> None:
        """Wait until it says that something has happened."""
        self._line(lambda said: said.get("event") == event)

    def figures(self) -> Figures:
        """Let it end, and give its figures."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        said = self._line(lambda said: "event" not in said)
        self._process.wait(END_S)
        return said

    def kill(self) -> None:
        """End it, where it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(END_S)

    def _line(self, wanted: Callable[[Figures], bool]) -> Figures:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said: Figures = json.loads(line)
            if wanted(said):
                return said
        raise RuntimeError(f"the load generator ended: {self._process.wait(END_S)}")


@contextmanager
def running(mode: str, port: int, **options: float | str) -> Iterator[Load]:
    """Run it beside what is done meanwhile."""
    load = Load(mode, port, **options)
    try:
        yield load
    finally:
        load.kill()
