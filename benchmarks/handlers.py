"""What the benchmarks' gateway serves; copied into its folder."""

import time
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


@topic("all")
def all_may(_principal: Any) -> bool:
    """Let everybody listen."""
    return True


@handler("announce")
def announce(request: dict[str, Any], ctx: Context) -> None:
    """Publish what came to all who listen."""
    ctx.publish("all", request)
