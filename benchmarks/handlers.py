"""What the benchmarks' gateway serves; copied into its folder."""

import threading
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from streamer_core import Context, handler, topic
from streamer_core.errors import Unavailable


class Text(BaseModel):
    text: str


@handler("echo")
def echo(request: Text) -> dict[str, str]:
    """Answer at once with what came."""
    return {"text": request.text}


@handler("noop", mode="async")
def noop() -> None:
    """Do nothing, as queued work."""


@handler("report", mode="async")
def report(ctx: Context) -> None:
    """Report at once; then be busy for longer than the report takes to arrive."""
    ctx.progress(10, "begun")
    time.sleep(0.05)


@handler("chunks", mode="async")
def chunks(ctx: Context) -> None:
    """Give three numbered pieces of output."""
    for number in range(3):
        ctx.emit({"number": number})


@handler("pieces", mode="async")
def pieces(ctx: Context) -> None:
    """Give as many pieces of output as the file beside this one says."""
    for number in range(int(Path("pieces").read_text())):
        ctx.emit({"number": number, "text": "x" * 100})


@handler("hold", mode="async", timeout="1h")
def hold(ctx: Context) -> None:
    """Keep a worker busy until it is told to stop."""
    while not ctx.cancelled:
        time.sleep(0.2)


class Stages(BaseModel):
    stages: int
    pause_ms: int = 30
    troubles: bool = False


@handler("stages", mode="async", retry={"max_attempts": 3, "backoff": "100ms"})
def stages(request: Stages, ctx: Context) -> dict[str, int]:
    """Report, put out and keep, stage by stage; with troubles, fail once and be put off once."""
    pause = threading.Event()
    first = (ctx.restored or {"stage": 0})["stage"]
    for stage in range(first, request.stages):
        ctx.progress(100 * stage / request.stages, f"stage {stage}")
        ctx.emit({"stage": stage})
        ctx.checkpoint({"stage": stage + 1})
        pause.wait(request.pause_ms / 1000)
        ctx.raise_if_cancelled()
        if request.troubles and stage == 0:
            raise Unavailable("not yet")
        if request.troubles and stage == 1:
            ctx.continue_later({"stage": 2}, after="100ms")
    return {"stages": request.stages}


@topic("all")
def all_may(_principal: Any) -> bool:
    """Let everybody listen."""
    return True


@handler("announce")
def announce(request: dict[str, Any], ctx: Context) -> None:
    """Publish what came to all who listen."""
    ctx.publish("all", request)


@topic("visits")
def all_may_hear(_principal: Any) -> bool:
    """Let everybody hear of visits."""
    return True


@handler("tell")
def tell(request: dict[str, Any], ctx: Context) -> None:
    """Publish a visit."""
    ctx.publish("visits", request)
