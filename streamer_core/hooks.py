"""Calling the hooks by the rule of their family.

pluggy calls and combines; what it lacks is here: observers that cannot hurt one another.
"""

from collections.abc import Callable
from typing import Any

import pluggy

from streamer_core import hookspecs
from streamer_core.log import get_logger
from streamer_core.markers import PROJECT

_NOT_WRAPPED = ("streamer_on_", "streamer_open_", "streamer_register_")
_NOT_WRAPPED_EITHER = frozenset({"streamer_health", "streamer_startup", "streamer_shutdown"})


def may_wrap(hook: str) -> bool:
    """Tell whether a hook can be surrounded: those that are called one plugin at a time cannot."""
    return not hook.startswith(_NOT_WRAPPED) and hook not in _NOT_WRAPPED_EITHER


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


def collect(
    manager: pluggy.PluginManager,
    hook: str,
    on_error: Callable[[str], Any] | None = None,
    **arguments: Any,
) -> list[tuple[str, Any]]:
    """Ask every plugin and give `(plugin, answer)` of those that answered.

    Given `on_error`, a plugin that fails is logged, and counts as having answered `on_error(name)`.
    """
    answers = []
    for implementation in reversed(getattr(manager.hook, hook).get_hookimpls()):
        name = implementation.plugin_name
        try:
            answer = implementation.function(*(arguments[one] for one in implementation.argnames))
        except Exception:
            if on_error is None:
                raise
            get_logger().exception("plugin failed", plugin=name, hook=hook)
            answer = on_error(name)
        if answer is not None:
            answers.append((name, answer))
    return answers
