"""What the benchmarks' gateway serves; copied into its folder."""

import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from streamer_core import Context, handler, topic


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


@topic("all")
def all_may(_principal: Any) -> bool:
    """Let everybody listen."""
    return True


@handler("announce")
def announce(request: dict[str, Any], ctx: Context) -> None:
    """Publish what came to all who listen."""
    ctx.publish("all", request)
