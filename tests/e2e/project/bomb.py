"""Kills a worker in the middle of a commit: what no signal from outside can be sure to hit.

Whoever writes a `Charge` into the file `bomb` arms it; the next commit of any worker takes the file
and dies: before COMMIT, so many microseconds into it, or after it.
"""

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamer_plugin_sqlite.database import Database

BOMB = Path("bomb")
BEFORE, AFTER = -1, -2


def arm(folder: Path, *, delay_us: int, gateway: bool) -> None:
    """Have the next commit struck.

    Args:
        folder: the project's.
        delay_us: after COMMIT has begun, or BEFORE or AFTER it.
        gateway: take the gateway along.
    """
    written = folder / "bomb.new"
    written.write_text(f"{delay_us} {int(gateway)}")
    written.rename(folder / BOMB)


def plant() -> None:
    """Look for the bomb at each commit of this process."""
    execute = Database.execute

    def watched(self: Database, sql: str, *args: Any) -> Any:
        if sql != "COMMIT" or (charge := _taken()) is None:
            return execute(self, sql, *args)
        delay_us, gateway = charge
        if delay_us == BEFORE:
            _strike(gateway)
        if delay_us >= 0:
            threading.Thread(target=_strike, args=(gateway, delay_us)).start()
        done = execute(self, sql, *args)  # sqlite3 lets go of the interpreter meanwhile
        _strike(gateway)
        return done

    Database.execute = watched  # type: ignore[method-assign, assignment]


def _taken() -> tuple[int, bool] | None:
    with suppress(FileNotFoundError):
        text = BOMB.read_text()
        BOMB.unlink()  # whoever removes it has it
        delay_us, gateway = text.split()
        return int(delay_us), gateway == "1"
    return None


def _strike(gateway: bool, delay_us: int = 0) -> None:
    until = time.perf_counter() + delay_us / 1e6
    while time.perf_counter() < until:
        pass
    if gateway:
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
