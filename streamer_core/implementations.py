"""Check a plugin's hook implementations before pluggy takes them.

Most of what is refused here pluggy would take, and never call or call wrongly, without a word.
"""

import inspect
from typing import Any

import pluggy

from streamer_core import hookspecs
from streamer_core.errors import ConfigurationError
from streamer_core.hooks import AROUND, may_be_hook, may_wrap
from streamer_core.markers import PROJECT
from streamer_core.sections import nearest

_IMPLEMENTATION = f"{PROJECT}_impl"
_HOOKS = {name: spec for name, spec in vars(hookspecs).items() if hasattr(spec, f"{PROJECT}_spec")}


def check(plugin: object, source: str) -> None:
    """Look at each method that is a hook's implementation, or bears a hook's name.

    Raises:
        ConfigurationError: names the plugin and the method, and what to write instead.
    """
    for name in filter(may_be_hook, dir(type(plugin))):
        method = inspect.getattr_static(plugin, name, None)
        if getattr(method, _IMPLEMENTATION, None) is not None:
            _check_kind(f"{source}: {name}", name, method)
            if name in _HOOKS:
                _check_arguments(f"{source}: {name}", name, getattr(plugin, name))
        elif name in _HOOKS and callable(method):
            raise ConfigurationError(
                f"{source}: {name} would never be called: write `@hookimpl` above it"
            )


def _check_kind(where: str, name: str, method: Any) -> None:
    if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
        raise ConfigurationError(
            f"{where} is `async def`; hooks are plain functions: write `def {name}`, "
            f"and run what is asynchronous on an event loop of your own"
        )
    options, yields = getattr(method, _IMPLEMENTATION), inspect.isgeneratorfunction(method)
    wraps = options.get("wrapper") or options.get("hookwrapper")
    if wraps and not may_wrap(name):
        raise ConfigurationError(
            f"{where} cannot be surrounded: its plugins are called one by one; "
            f"take `wrapper=True` out"
        )
    if wraps and not yields:
        raise ConfigurationError(f"{where} is a wrapper and has no `yield`; write one")
    if yields and name.startswith(AROUND):
        raise ConfigurationError(
            f"{where} has a `yield`; write `@contextmanager` under `@hookimpl`"
        )
    if yields and not wraps and may_wrap(name):
        raise ConfigurationError(f"{where} has a `yield`; write `@hookimpl(wrapper=True)` above it")


def _check_arguments(where: str, name: str, method: Any) -> None:
    known = list(inspect.signature(_HOOKS[name]).parameters)
    for parameter in inspect.signature(method).parameters.values():
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            raise ConfigurationError(
                f"{where} has *{parameter.name}, which pluggy leaves empty: name the arguments, "
                f"of {', '.join(known) or 'none'}"
            )
        if parameter.name not in known:
            raise ConfigurationError(
                f"{where} wants {parameter.name!r}, which the hook does not give; "
                f"it gives {', '.join(known) or 'nothing'}"
            )
        if parameter.default is not parameter.empty:
            raise ConfigurationError(
                f"{where} gives {parameter.name!r} a default, which pluggy would pass "
                f"instead of the argument: write `{parameter.name}` without it"
            )
        if parameter.kind is parameter.KEYWORD_ONLY:
            raise ConfigurationError(
                f"{where}: {parameter.name!r} is keyword-only; take the `*` before it out"
            )


def check_pending(manager: pluggy.PluginManager) -> None:
    """Refuse implementations of hooks that do not exist, as pluggy's own check does.

    Raises:
        ConfigurationError: names the plugin, the hook, and the one that was probably meant.
    """
    for name, hook in vars(manager.hook).items():
        if name.startswith("_") or hook.has_spec():
            continue
        for implementation in hook.get_hookimpls():
            if not implementation.optionalhook:
                close = nearest(name, _HOOKS)
                hint = f"did you mean {close!r}? " if close else ""
                raise ConfigurationError(
                    f"plugin {implementation.plugin_name!r}: unknown hook {name!r}; {hint}"
                    f"docs/hooks.md lists all"
                )
