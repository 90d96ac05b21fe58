"""Time how long plugins take to be imported and made: `python -m streamer_core.cli.timed`.

Run in a process of its own by `timings.py`. It reads what to do as JSON on standard input, begins
with all of the core imported, as a start does, and imports nothing else that a plugin may want.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import streamer_core.app  # noqa: F401 - imported before anything is timed
from streamer_core import plugins
from streamer_core.plugins import Found
from streamer_core.ports import SystemClock
from streamer_core.settings import Settings


def _took_ms(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work()
    return (time.perf_counter() - began) * 1000, result


def _timed(found: Found, settings: Settings, app: object) -> dict[str, Any]:
    import_ms, cls = _took_ms(found.load)
    make_ms, _ = _took_ms(lambda: plugins.made(found, cls, settings, app))
    return {"name": found.name, "import_ms": import_ms, "make_ms": make_ms}


def main() -> None:
    """Import and make the plugins one after the other, and tell what each took."""
    asked = json.load(sys.stdin)
    with os.fdopen(os.dup(1), "w") as answer:
        os.dup2(2, 1)  # what a plugin prints is no answer
        config = asked["config"]
        settings = Settings.load(None if config is None else Path(config))
        app = SimpleNamespace(settings=settings, clock=SystemClock())
        json.dump([_timed(Found(**one), settings, app) for one in asked["plugins"]], answer)


if __name__ == "__main__":
    main()
