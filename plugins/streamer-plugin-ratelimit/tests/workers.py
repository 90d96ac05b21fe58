"""A hundred processes that send at once; run by test_shared.py. Prints what passed, as JSON."""

import json
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

from streamer_plugin_sqlite import SqliteStore

from streamer_core import Settings, Streamer
from streamer_core.errors import RateLimited
from streamer_core.model.connection import Connection
from streamer_core.model.message import Message
from streamer_core.model.principal import Principal
from streamer_core.ports import SystemClock
from streamer_core.testing import MemoryTransport

WORKERS = 100
LIMITS = [
    {"name": "exact", "rate": "7/d", "actions": ["exact"]},
    {"name": "fast", "rate": "80/s", "actions": ["fast"]},
]
SETTINGS = Settings.of(
    {"plugins": ["ratelimit"]}, {"ratelimit": {"limits": LIMITS, "close_after": 0}}
)


def passed(app: Streamer, action: str, times: int) -> int:
    """Send so often; give how many passed."""
    principal = Principal(user="ann")
    connection = Connection(id="c-1", principal=principal)
    message = Message(id="r-1", action=action)
    passed = 0
    for _ in range(times):
        try:
            app.runtime.hook.streamer_limit(
                principal=principal, connection=connection, request=message
            )
        except RateLimited:
            continue
        passed += 1
    return passed


def work(path: Path, gate: Any, results: Any) -> None:
    """Be one of the processes."""
    clock = SystemClock()
    store = SqliteStore(path, clock)
    parts: dict[str, Any] = {"store": store, "transport": MemoryTransport(), "clock": clock}
    with Streamer.start(SETTINGS, load_handlers=False, **parts) as app:
        gate.wait(60)
        results.put((passed(app, "exact", 20), passed(app, "fast", 1000)))


def main(path: Path) -> None:
    """Start them, let them go at once, add up."""
    SqliteStore(path, SystemClock()).close()
    context = multiprocessing.get_context("fork")
    gate, results = context.Barrier(WORKERS + 1), context.SimpleQueue()
    workers = [context.Process(target=work, args=(path, gate, results)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    gate.wait(60)
    began = time.monotonic()
    tallies = [results.get() for _ in workers]
    took_s = time.monotonic() - began
    for worker in workers:
        worker.join()
    exact, fast = (sum(numbers) for numbers in zip(*tallies, strict=True))
    print(json.dumps({"exact": exact, "fast": fast, "took_s": took_s}))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
