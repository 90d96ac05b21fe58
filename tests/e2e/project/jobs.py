"""Handlers that do as they should, and leave behind what they did."""

import hashlib
import os
import threading
from typing import Any

from pydantic import BaseModel, Field

from streamer_core import Context, handler
from tests.e2e.project import bomb
from tests.e2e.project.record import note, run_of

bomb.plant()

_PATIENT = {"max_attempts": 1000, "backoff": "50ms", "backoff_cap": "200ms"}


class Steps(BaseModel):
    """How much is to be done: `pause_ms` after each step, a checkpoint after each `keep` steps.

    Bounded, since generated messages ask for anything.
    """

    steps: int = Field(default=10, le=1_000)
    pause_ms: float = Field(default=0, le=10_000)
    keep: int = Field(default=0, ge=0)
    fill: int = Field(default=0, le=100_000)


def piece(name: str, step: int, fill: int = 0) -> dict[str, Any]:
    """Give what a step of a request puts out: no other's, and always the same."""
    text = hashlib.sha256(f"{name}/{step}".encode()).hexdigest()
    return {"step": step, "text": text, "fill": "." * fill}


def total(name: str, steps: int) -> dict[str, Any]:
    """Give the result of a request that has done all its steps."""
    joined = "".join(piece(name, step)["text"] for step in range(steps))
    return {"steps": steps, "sum": hashlib.sha256(joined.encode()).hexdigest()}


def _go(request: Steps, ctx: Context) -> dict[str, Any]:
    pause = threading.Event()
    with run_of(ctx):
        first = (ctx.restored or {"step": 0})["step"]
        for step in range(first, request.steps):
            note("step", ctx, step)
            ctx.emit(piece(ctx.request_id, step, request.fill))
            ctx.progress(100 * step / request.steps, f"step {step}")
            if request.keep and (step + 1) % request.keep == 0:
                ctx.checkpoint({"step": step + 1})
            pause.wait(request.pause_ms / 1000)
            if ctx.cancelled:
                break
    return total(ctx.request_id, request.steps)


@handler("work", estimated="1m", timeout="5m", retry=_PATIENT)
def work(request: Steps, ctx: Context) -> dict[str, Any]:
    """Do all steps, however often it has to begin again."""
    return _go(request, ctx)


@handler("frail", estimated="1m", retry={**_PATIENT, "max_attempts": 2})
def frail(request: Steps, ctx: Context) -> dict[str, Any]:
    """The same, but for the second time only."""
    return _go(request, ctx)


@handler("narrow", estimated="1m", concurrency=2, retry=_PATIENT)
def narrow(request: Steps, ctx: Context) -> dict[str, Any]:
    """The same, two at a time."""
    return _go(request, ctx)


@handler("echo")
def echo(payload: dict) -> dict[str, Any]:  # type: ignore[type-arg]  # bound by the bare name
    """Answer at once."""
    return payload


@handler("whoami")
def whoami() -> dict[str, Any]:
    """Say which process answers."""
    return {"pid": os.getpid()}


@handler("pour")
def pour(request: Steps, ctx: Context) -> dict[str, Any]:
    """Put out pieces in a request that is answered at once."""
    for step in range(request.steps):
        ctx.emit(piece(ctx.request_id, step, request.fill))
    return {"steps": request.steps}
