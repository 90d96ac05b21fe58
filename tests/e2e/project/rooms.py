"""A topic, and a handler that publishes to it."""

from typing import Any

from streamer_core import Context, handler, topic


@topic("room:{name}")
def may_join(principal: Any, name: str) -> bool:
    """Let everybody in."""
    return True


@handler("say")
def say(payload: dict, ctx: Context) -> dict[str, Any]:  # type: ignore[type-arg]  # bound by name
    """Publish, while the asker waits."""
    ctx.publish(payload["topic"], payload["data"])
    return {}
