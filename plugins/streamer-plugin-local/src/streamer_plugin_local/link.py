"""What ties the plugin, which the core makes, to the process of the gateway that it works in."""

from collections.abc import Callable
from dataclasses import dataclass

from streamer_core.app import Streamer
from streamer_core.model.call import Health
from streamer_core.model.handler import HandlerSpec


@dataclass(frozen=True, kw_only=True)
class Link:
    """The process's side of the plugin's hooks.

    Args:
        wake: wakes a worker for a request that is due at a time, Unix ms; from any thread.
        about_to_run: called in a thread that is about to run a handler.
        health: how the workers are.
        worker: whether this is a worker process, where clients are authenticated.
    """

    wake: Callable[[int], None]
    about_to_run: Callable[[HandlerSpec], None] = lambda _: None
    health: Callable[[], Health | None] = lambda: None
    worker: bool = False


def attach(app: Streamer, link: Link) -> None:
    """Give the app's plugin its link."""
    plugin = app.hooks.get_plugin("local")
    assert plugin is not None, "this process was started by the plugin"
    plugin.link = link
