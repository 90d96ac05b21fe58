"""One walk through all that the engine measures, for whoever looks at what that is."""

from contextlib import suppress
from typing import Any

from streamer_core import Context, Reject, handler
from streamer_core.errors import RateLimited, StoreError, Unauthorized
from streamer_core.markers import hookimpl
from streamer_core.model.message import Message
from tests.unit.harness import Client, Rig


@handler("quick")
def quick(payload: dict[str, Any], ctx: Context) -> str:
    """Report twice, so that one report overtakes the other; then do what was asked."""
    ctx.progress(10)
    ctx.progress(20)
    ctx.emit("piece")
    if payload.get("fail"):
        raise ValueError("broken")
    if payload.get("reject"):
        raise Reject("quick.no", "No")
    return "done"


@handler("long", estimated="1m", retry={"max_attempts": 2, "backoff": "1s"})
def long(payload: dict[str, Any], ctx: Context) -> str:
    """Do the same as a request that is stored."""
    return quick(payload, ctx)


class Limiter:
    """Refuses messages that ask for it."""

    @hookimpl
    def streamer_limit(self, request: Message | None) -> None:
        if request is not None and request.metadata.get("fast"):
            raise RateLimited("Too many messages")


def rig_of(*plugins: object) -> Rig:
    """Give a rig with handlers and plugins for the walk."""
    return Rig(quick, long, plugins=[Limiter(), *plugins])


def walk(rig: Rig) -> None:
    """Go every way: sync, async, retry, dead letter, refused, throttled, push, progress, sweep."""
    ann = rig.client()
    _refused(rig, ann)
    for payload in ({}, {"fail": 1}, {"reject": 1}):
        ann.send("quick", payload)
    for name, payload in (("ok", {}), ("no", {"reject": 1}), ("bad", {"fail": 1})):
        ann.send("long", payload, id=name)
    rig.clock.advance(2_000)
    rig.app.sweep()
    rig.work()
    rig.clock.advance(60_000)
    rig.work()
    ann.send("long", {}, id="waiting")
    ann.send("streamer.cancel", {"request_id": "waiting"})
    _slow_and_gone(rig)
    _lost(rig, ann)
    rig.app.disconnect(ann.id, "any text of a client")


def _refused(rig: Rig, ann: Client) -> None:
    ann.raw(b"nonsense")
    ann.send("quick", {}, metadata={"fast": "yes"})
    with suppress(Unauthorized):
        Client(rig, "nobody")
    rig.store.faults.fail_next("enqueue", StoreError("broken"))
    ann.send("long", {}, id="unstored")


def _slow_and_gone(rig: Rig) -> None:
    """Push to a client that is slow, and to one that has gone without a word."""
    slow, away = rig.client("bob"), rig.client("eve")
    slow.send("long", {}, id="slow")
    rig.transport.busy_next(slow.id)
    rig.work()
    away.send("long", {}, id="away")
    away.go()
    rig.work()


def _lost(rig: Rig, ann: Client) -> None:
    """Let a worker die over a request."""
    ann.send("long", {}, id="lost")
    rig.claim(ann.ref("lost"))
    rig.clock.advance(31_000)
    rig.app.sweep()
