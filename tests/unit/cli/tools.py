"""What the tests of the command line are written with; conftest.py makes it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from click.testing import Result

from streamer_core import Streamer
from streamer_core.model.ids import ref_of
from streamer_core.model.request import Request

STREAMER = str(Path(sys.executable).with_name("streamer"))

TOML = """
[streamer]
handlers = ["cli_actions"]
plugins = ["sqlite", "local"]
heartbeat = "100ms"
keep = "1h"

[plugins.sqlite]
path = "streamer.db"

[plugins.local]
port = 0
reload = false
sync_workers = 1
async_workers = 1
"""

ACTIONS = '''
import time

from pydantic import BaseModel

from streamer_core import Context, Reject, handler


class Named(BaseModel):
    name: str


@handler("echo")
def echo(payload: dict) -> dict:
    """Give it back."""
    return payload


@handler("greet")
def greet(payload: Named) -> str:
    """Greet."""
    return payload.name


@handler("steps", estimated="90s")
def steps(payload: dict, ctx: Context) -> dict:
    """Report."""
    ctx.progress(50, "half\\x1b[31m [bold]way")
    ctx.emit({"piece": 1})
    ctx.checkpoint(1)
    return {"done": True}


@handler("fail", mode="async", retry={"max_attempts": 1})
def fail() -> None:
    """Fail."""
    raise RuntimeError("a secret of the house")


@handler("flaky", mode="async", retry={"max_attempts": 2, "backoff": "1ms"})
def flaky(ctx: Context) -> str:
    """Fail once, with pieces stored that no checkpoint stands behind: a full buffer of them."""
    for _ in range(64):
        ctx.emit(ctx.attempt)
    if ctx.attempt == 1:
        raise RuntimeError("not yet")
    return "at last"


@handler("late", mode="async", timeout="100ms", retry={"max_attempts": 1})
def late(ctx: Context) -> None:
    """Take too long."""
    while not ctx.cancelled:
        time.sleep(0.01)


@handler("wait", mode="async")
def wait(ctx: Context) -> None:
    """Wait to be told to stop."""
    ctx.progress(1, "waiting")
    while not ctx.cancelled:
        time.sleep(0.01)
'''


class Run(Protocol):
    """Runs `streamer` in this process."""

    def __call__(self, *args: str, given: str | None = None, **env: str) -> Result: ...


class Lines(Protocol):
    """Runs `streamer` with --json and reads the answer."""

    def __call__(self, *args: str) -> list[dict[str, Any]]: ...


def write_project(folder: Path, toml: str = TOML) -> Path:
    (folder / "streamer.toml").write_text(toml)
    (folder / "cli_actions.py").write_text(ACTIONS)
    return folder


class Seeded:
    """An application, to put requests in and work them off."""

    def __init__(self, app: Streamer) -> None:
        self.app = app

    def put(self, action: str, request_id: str, **fields: Any) -> str:
        ref = ref_of("acme", "ann", request_id)
        now = self.app.clock.now()
        known: dict[str, Any] = {"created_at": now, "due_at": now, **fields}
        handler = self.app.registry.get(action)
        assert handler is not None
        request = Request(
            ref=ref,
            id=request_id,
            action=action,
            tenant="acme",
            user="ann",
            policy=handler.spec.policy,
            **known,
        )
        self.app.store.enqueue(request)
        return ref


class Dist(Protocol):
    """Installs a plugin: a real dist-info and a module."""

    def __call__(self, name: str, source: str) -> str: ...


def environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}
    return {**kept, **more}


class Start(Protocol):
    """Starts `streamer` as a process of its own, in a pipe."""

    def __call__(self, *args: str, **env: str) -> "subprocess.Popen[str]": ...


class OnTerminal(Protocol):
    """Runs `streamer` on a terminal; gives the exit code and what the terminal got."""

    def __call__(self, *args: str, **env: str) -> tuple[int, str]: ...
