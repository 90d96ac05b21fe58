"""Calling the hooks by the rule of their family.

pluggy calls and combines; what it lacks is here: observers that cannot hurt one another, and a
short way to a hook that nobody or only one plugin implements, as most are.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, cast

import pluggy

from streamer_core import hookspecs
from streamer_core.log import get_logger
from streamer_core.markers import PROJECT

_NOT_WRAPPED = ("streamer_on_", "streamer_open_", "streamer_register_", "streamer_wrap_")
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
    with one implementation takes 0.5 µs there, where pluggy prepares for many in 3 µs. `takers` are
    the implementations of `streamer_on_metric`, which is called several times for each message.
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
        self.takers = self.implementations("streamer_on_metric")

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
        call = _short_way(getattr(self._hook, name))
        setattr(self, name, call)  # found without this method from now on
        return call


def _short_way(hook: pluggy.HookCaller) -> Callable[..., Any]:
    implementations = hook.get_hookimpls()
    first = bool(hook.spec and hook.spec.opts.get("firstresult"))
    if not implementations:
        return lambda **_: None if first else []
    only, *around = implementations  # pluggy keeps wrappers behind all others, the outermost last
    if only.wrapper or only.hookwrapper or not all(one.wrapper for one in around):
        return hook
    if around and not first:
        return hook
    function, names = only.function, only.argnames
    if first:
        takes_all = hook.spec and set(names) == set(hook.spec.argnames)
        call = cast("Callable[..., Any]", function) if takes_all else _taking(function, names)
        for outer in around:
            call = _around(outer, call)
        return call

    def listed(**given: Any) -> list[Any]:
        answer = function(*[given[name] for name in names])
        return [] if answer is None else [answer]

    return listed


def _taking(function: Callable[..., Any], names: Sequence[str]) -> Callable[..., Any]:
    """Give a function of all that a hook gives, which passes on what is wanted."""
    return lambda **given: function(*[given[name] for name in names])


def _around(outer: pluggy.HookImpl, call: Callable[..., Any]) -> Callable[..., Any]:
    """Call a wrapper around what is inside, as pluggy does, in half its time."""
    wrap, wanted = outer.function, outer.argnames

    def around(**given: Any) -> Any:
        layer = cast("Generator[None, Any, Any]", wrap(*[given[name] for name in wanted]))
        try:
            next(layer)
        except StopIteration:
            raise RuntimeError(f"{outer.plugin_name}: the wrapper did not yield") from None
        error: BaseException | None = None
        answer = None
        try:
            answer = call(**given)
        except BaseException as raised:  # noqa: BLE001 - the wrapper sees all there is
            error = raised
        return _ended(layer, answer, error)

    return around


def _ended(layer: Generator[None, Any, Any], answer: Any, error: BaseException | None) -> Any:
    """Let a wrapper see how it ended; give what it makes of that."""
    try:
        if error is None:
            layer.send(answer)
        else:
            layer.throw(error)
    except StopIteration as end:
        return end.value
    except RuntimeError as made:
        # Python makes another error of a StopIteration that passes through a generator.
        if isinstance(error, StopIteration) and made.__cause__ is error:
            raise error from None
        raise
    layer.close()
    raise RuntimeError("a wrapper has a second yield")


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
