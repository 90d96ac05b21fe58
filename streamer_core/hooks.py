"""Calling the hooks by the rule of their family.

pluggy keeps who implements what, in order. What it lacks is here: observers that cannot hurt one
another, context managers around what the core does, and short ways to the hooks, made once, where
it prepares anew for each call.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import pluggy

from streamer_core import hookspecs, ways
from streamer_core.log import get_logger
from streamer_core.markers import PROJECT

T = TypeVar("T")

AROUND = "streamer_around_"
"""How the names of hooks begin that are given context managers."""

_NOT_WRAPPED = (AROUND, "streamer_on_", "streamer_open_", "streamer_register_", "streamer_wrap_")
_NOT_WRAPPED_EITHER = frozenset({"streamer_health", "streamer_startup", "streamer_shutdown"})


def may_wrap(hook: str) -> bool:
    """Tell whether a hook can be surrounded: those that are called one plugin at a time cannot."""
    return not hook.startswith(_NOT_WRAPPED) and hook not in _NOT_WRAPPED_EITHER


def may_be_hook(name: str) -> bool:
    """Tell whether an attribute may be a hook: no hook's name begins with an underscore."""
    return not name.startswith("_")


class Manager(pluggy.PluginManager):
    """A plugin manager that knows the hook specifications.

    `calls` has a function for each hook, which answers as `hook` does: measured, a call of a hook
    with one implementation takes 0.1 µs there, of one with four wrappers around it 2.5 µs, where
    pluggy takes 2 and 8. `takers` are the implementations of `streamer_on_metric`, which is called
    several times for each message, each with a function of the measurement.
    """

    def __init__(self) -> None:
        super().__init__(PROJECT)
        self.add_hookspecs(hookspecs)
        self._forget()

    # pluggy looks at every attribute of a plugin in ways that run no code of it: 20 µs each.

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        """Give the marks of an implementation; None for what is none."""
        return super().parse_hookimpl_opts(plugin, name) if may_be_hook(name) else None

    def parse_hookspec_opts(self, module_or_class: Any, name: str) -> Any:
        """Give the marks of a specification; None for what is none."""
        is_spec = name.startswith(PROJECT)
        return super().parse_hookspec_opts(module_or_class, name) if is_spec else None

    def implementations(self, hook: str) -> Sequence[pluggy.HookImpl]:
        """Give the implementations of a hook, in the order of the manifests."""
        known = self._implementations.get(hook)
        if known is None:
            # pluggy's own order is the one it calls them in: last registered first.
            known = tuple(reversed(getattr(self.hook, hook).get_hookimpls()))
            self._implementations[hook] = known
        return known

    def _forget(self) -> None:
        """Forget the ways to the hooks as they were."""
        self.calls: Any = _Calls(self.hook)
        self._implementations: dict[str, Sequence[pluggy.HookImpl]] = {}
        self.takers = [
            (ways.to_one(one, ("metric",)), one)
            for one in self.implementations("streamer_on_metric")
        ]

    def register(self, plugin: object, name: str | None = None) -> str | None:
        """Register a plugin."""
        registered = super().register(plugin, name)
        self._forget()
        return registered

    def unregister(self, plugin: object | None = None, name: str | None = None) -> Any:
        """Unregister a plugin."""
        unregistered = super().unregister(plugin, name)
        self._forget()
        return unregistered


class _Calls:
    def __init__(self, hook: pluggy.HookRelay) -> None:
        self._hook = hook

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = ways.shortest(getattr(self._hook, name))
        setattr(self, name, call)  # found without this method from now on
        return call


def inside(around: Sequence[AbstractContextManager[Any]], do: Callable[[], T]) -> T:
    """Do something inside of context managers, the first of them outermost.

    Raises:
        RuntimeError: one of them lets an error vanish, and there is nothing to give instead.
    """
    match around:
        case []:
            return do()
        case [one]:
            with one:
                return do()
        case [one, two]:
            with one, two:
                return do()
        case [one, *others]:
            with one:
                return inside(others, do)
    raise RuntimeError("a context manager of a plugin has made an error vanish")


def observe(manager: Manager, hook: str, **arguments: Any) -> None:
    """Tell every observer, each by itself: one that fails is logged under its plugin's name."""
    for implementation in manager.implementations(hook):
        try:
            implementation.function(*[arguments[name] for name in implementation.argnames])
        except Exception:  # noqa: BLE001 - an observer may fail in any way
            observer_failed(implementation, hook)


def observer_failed(implementation: pluggy.HookImpl, hook: str) -> None:
    """Log what an observer raised."""
    get_logger().exception("observer failed", plugin=implementation.plugin_name, hook=hook)


def collect(
    manager: Manager,
    hook: str,
    on_error: Callable[[str, Exception], Any] | None = None,
    **arguments: Any,
) -> list[tuple[str, Any]]:
    """Ask every plugin and give `(plugin, answer)` of those that answered.

    Given `on_error`, a plugin that fails counts as having answered `on_error(name, error)`.
    """
    answers = []
    for implementation in manager.implementations(hook):
        name = implementation.plugin_name
        try:
            answer = implementation.function(*(arguments[one] for one in implementation.argnames))
        except Exception as error:
            if on_error is None:
                raise
            answer = on_error(name, error)
        if answer is not None:
            answers.append((name, answer))
    return answers
