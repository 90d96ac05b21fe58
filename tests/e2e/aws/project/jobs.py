"""Handlers for a deployment."""

import os
import time
from typing import Any

from pydantic import BaseModel

from streamer_core import Context, Reject, handler, topic


class Steps(BaseModel):
    steps: int = 3
    pause_s: float = 0
    fail_before: int = 0
    die_before: int = 0


@handler("echo")
def echo(payload: dict) -> dict[str, Any]:  # type: ignore[type-arg]  # bound by the bare name
    return payload


@handler("count", estimated="1m", retry={"max_attempts": 3, "backoff": "50ms"})
def count(request: Steps, ctx: Context) -> dict[str, Any]:
    """Count with a checkpoint each step; fail, or die, in the attempts before the one named."""
    first = (ctx.restored or {"step": 0})["step"]
    for step in range(first, request.steps):
        ctx.progress(100 * step / request.steps, f"step {step}")
        ctx.emit({"step": step, "attempt": ctx.attempt})
        ctx.checkpoint({"step": step + 1})
        if step == 1 and ctx.attempt < request.die_before:
            os._exit(9)
        if step == ctx.attempt and ctx.attempt < request.fail_before:
            raise RuntimeError("not yet")
        end = time.monotonic() + request.pause_s
        while time.monotonic() < end and not ctx.cancelled:
            time.sleep(0.01)
        if ctx.cancelled:
            break
    return {"steps": request.steps}


@handler("lanes", estimated="1m")
def lanes() -> dict[str, Any]:
    """Tell which worker runs it."""
    return {"lanes": os.environ["STREAMER_LANES"]}


@handler("reject", estimated="1m")
def reject() -> None:
    raise Reject("jobs.never", "This one never works")


@topic("room:{name}")
def may_join(principal: Any, name: str) -> bool:
    return True


@handler("say")
def say(payload: dict, ctx: Context) -> dict[str, Any]:  # type: ignore[type-arg]  # bound by name
    ctx.publish(payload["topic"], payload["data"])
    return {}


@handler("traced")
def traced() -> dict[str, Any]:
    """Tell which trace it is part of."""
    return {"trace": os.environ.get("_X_AMZN_TRACE_ID")}


@handler("break")
def breaks() -> None:
    raise RuntimeError("a secret of the house")


@handler("scarce")
def scarce() -> str:
    return "one of two an hour"


@handler("fragile")
def fragile(ctx: Context) -> None:
    with ctx.circuit("ledger"):
        raise OSError("down")
