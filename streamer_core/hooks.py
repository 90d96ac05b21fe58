"""Calling the hooks by the rule of their family.

pluggy calls and combines; what it lacks is here: observers that cannot hurt one another.
"""

from typing import Any

import pluggy

from streamer_core import hookspecs
from streamer_core.log import get_logger
from streamer_core.markers import PROJECT


def new_manager() -> pluggy.PluginManager:
    """Make a plugin manager that knows the hook specifications."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def observe(manager: pluggy.PluginManager, hook: str, **arguments: Any) -> None:
    """Tell every observer, each by itself: one that fails is logged under its plugin's name."""
    # The manager's order is last registered first, as pluggy calls them.
    for implementation in reversed(getattr(manager.hook, hook).get_hookimpls()):
        try:
            implementation.function(*(arguments[name] for name in implementation.argnames))
        except Exception:  # noqa: BLE001 - an observer may fail in any way
            get_logger().exception("observer failed", plugin=implementation.plugin_name, hook=hook)


def collect(manager: pluggy.PluginManager, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
    """Ask every plugin and give `(plugin, answer)` of those that answered."""
    return [
        (implementation.plugin_name, answer)
        for implementation in reversed(getattr(manager.hook, hook).get_hookimpls())
        if (
            answer := implementation.function(
                *(arguments[name] for name in implementation.argnames)
            )
        )
        is not None
    ]
