"""Two actions: one that is answered at once, and one that takes its time and reports as it goes."""

import time

from pydantic import BaseModel, Field

from streamer_core import Context, Reject, handler


class Greeting(BaseModel):
    """What `hello` takes."""

    name: str = Field(min_length=1, max_length=80)


@handler("hello")
def hello(request: Greeting) -> dict[str, str]:
    """Greet somebody; answered at once."""
    return {"greeting": f"Hello, {request.name}"}


class Counting(BaseModel):
    """What `count` takes."""

    to: int = Field(default=20, le=10_000)
    pause: float = Field(default=0.2, ge=0, le=60, description="seconds between two numbers")


@handler("count", estimated="30s", timeout="1h", retry={"max_attempts": 5})
def count(request: Counting, ctx: Context) -> dict[str, int]:
    """Count to a number; queued, and reports each step.

    An attempt that is cut short goes on after its last checkpoint.
    """
    if request.to < 1:
        raise Reject("count.nothing", "There is nothing to count")  # what the client may read
    done = (ctx.restored or {}).get("done", 0)
    for number in range(done + 1, request.to + 1):
        if ctx.cancelled:
            break
        time.sleep(request.pause)  # the work
        ctx.emit({"number": number})  # kept, and replayed to a client that comes back
        ctx.checkpoint({"done": number})  # with all that was emitted before it
        ctx.progress(100 * number / request.to, f"{number} of {request.to}")
    return {"counted": request.to}
