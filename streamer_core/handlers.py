"""`@handler` and `@topic`: what a function says of itself, by its signature and decorator."""

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from typing import Any, TypeVar

from streamer_core.context import Context
from streamer_core.errors import ConfigurationError, Reject
from streamer_core.model.duration import Duration, to_ms
from streamer_core.model.handler import Concurrency, HandlerSpec, TopicSpec
from streamer_core.model.message import Mode
from streamer_core.model.policy import Policy
from streamer_core.model.principal import Principal
from streamer_core.typeddicts import is_typeddict

F = TypeVar("F", bound=Callable[..., Any])

MARK = "__streamer__"
RESERVED = "streamer."
_ACTION = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_RETRY_KEYS = frozenset({"max_attempts", "max_age", "backoff", "backoff_cap", "on", "never"})
_DEFAULT = Policy()


def handler(
    action: str,
    *,
    estimated: Duration = 0,
    timeout: Duration | None = None,
    mode: str | Mode = Mode.AUTO,
    retry: Mapping[str, Any] | None = None,
    concurrency: int | Concurrency | None = None,
    scopes: Iterable[str] = (),
    idempotent: bool = False,
) -> Callable[[F], F]:
    """Declare a handler. The function itself is left as it is, and can be called as before.

    Its parameters are bound by annotation: `Context`, `Principal`, and at most one other, the
    payload: a pydantic model, a dataclass, a TypedDict, or `dict`.

    Args:
        action: its name on the wire: 1 to 128 of `A-Z a-z 0-9 _ . : -`, not `streamer.…`.
        estimated: how long it is expected to take; over `async_threshold` (5 s) it is queued.
        timeout: how long an attempt may take: 5 min, or twice the estimate if that is more.
        mode: `sync` or `async` whatever the estimate; a client's own wish still comes first.
        retry: any of `max_attempts` (3), `max_age` ("1d"), `backoff` ("1s") and `backoff_cap`
            ("5m") for exponential backoff with full jitter, `on` and `never`: exception types that
            another attempt may, or cannot, heal.
        concurrency: how many run at once, over all workers; with a `Concurrency`, for each key.
        scopes: the principal needs all of them.
        idempotent: a sync request is stored too, and a repeat of it is answered from the store.

    Raises:
        ConfigurationError: what is wrong, where, and what to write instead.
    """

    _check_name(action, "handler")

    def declare(function: F) -> F:
        where = _checked_function(function, "handler")
        if not _ACTION.fullmatch(action) or action.startswith(RESERVED):
            raise ConfigurationError(
                f"{where}: {action!r} is no action; write 1 to 128 of A-Z a-z 0-9 _ . : -, "
                f"not beginning with {RESERVED!r}"
            )
        bindings, payload_type = _bindings(function, where)
        options = _retry(retry, where)
        spec = HandlerSpec(
            action=action,
            call=function,
            payload_type=payload_type,
            bindings=bindings,
            is_async=inspect.iscoroutinefunction(function),
            estimated_ms=_ms(estimated, where, "estimated"),
            mode=_mode(mode, where),
            policy=_policy(where, options, timeout, estimated),
            retry_on=_types(options.get("on", (Exception,)), where),
            never_retry=(Reject, *_types(options.get("never", ()), where)),
            concurrency=_concurrency(concurrency, where),
            scopes=_scopes(scopes, where),
            idempotent=idempotent,
            description=(inspect.getdoc(function) or "").partition("\n")[0],
            module=function.__module__,
        )
        setattr(function, MARK, spec)
        return function

    return declare


def topic(pattern: str) -> Callable[[F], F]:
    """Declare a topic such as `room:{name}`. The function says who may join.

    It gets the principal and, by name, what stands for each `{name}`; what it returns lets in or
    keeps out. Where it raises, the client is kept out and the error is logged.
    """

    _check_name(pattern, "topic")

    def declare(function: F) -> F:
        where = _checked_function(function, "topic")
        names = re.findall(r"\{(\w*)\}", pattern)
        parameters = list(inspect.signature(function).parameters)
        if inspect.iscoroutinefunction(function):
            raise ConfigurationError(f"{where}: a topic's rule is a plain function: write `def`")
        if not pattern or len(set(names)) != len(names) or "" in names:
            raise ConfigurationError(
                f"{where}: topic {pattern!r} needs names that differ: {{name}}"
            )
        if sorted(parameters[1:]) != sorted(names):
            raise ConfigurationError(
                f"{where}: the rule of {pattern!r} must take (principal, {', '.join(names)})"
            )
        setattr(
            function, MARK, TopicSpec(pattern=pattern, rule=function, module=function.__module__)
        )
        return function

    return declare


def declared(source: Any) -> list[HandlerSpec | TopicSpec]:
    """Give what a module declares, or what one decorated function is."""
    spec = getattr(source, MARK, None)
    if isinstance(spec, HandlerSpec | TopicSpec):
        return [spec]
    found = [getattr(value, MARK, None) for value in vars(source).values() if callable(value)]
    return [spec for spec in found if isinstance(spec, HandlerSpec | TopicSpec)]


def _check_name(name: Any, mark: str) -> None:
    if not isinstance(name, str):
        where = f"{_place(name)}: " if callable(name) else ""
        raise ConfigurationError(f'{where}write @{mark}("…"), with its name in brackets')


def _place(function: Any) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', repr(function))}"


def _checked_function(function: Any, mark: str) -> str:
    """Give a function's place for sentences, once it is known to be one that can be called."""
    where = _place(function)
    if not inspect.isroutine(function):
        raise ConfigurationError(f"{where}: @{mark} stands above a function: write `def`")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(
            f"{where}: it yields, and nobody would take the pieces: give each with "
            f"`ctx.emit(…)`, and return the result"
        )
    if hasattr(function, MARK):
        raise ConfigurationError(
            f"{where}: @handler or @topic stands above it already; write a function for each"
        )
    return where


def _bindings(function: Callable[..., Any], where: str) -> tuple[dict[str, str], Any]:
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise ConfigurationError(f"{where}: an annotation cannot be resolved: {error}") from None
    bindings: dict[str, str] = {}
    payload_type: Any = None
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            raise ConfigurationError(
                f"{where}: parameter *{name} cannot be bound; name what you need"
            )
        hint = hints.get(name, dict)
        if hint is Context:
            bindings[name] = "context"
        elif hint is Principal:
            bindings[name] = "principal"
        elif "payload" in bindings.values():
            raise ConfigurationError(
                f"{where}: {name!r} would be a second payload; annotate parameters as Context, "
                f"Principal, and one payload"
            )
        else:
            bindings[name] = "payload"
            payload_type = None if _is_plain(hint) else _checked_type(hint, where, name)
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ConfigurationError(f"{where}: {name!r} is positional-only; take the `/` out")
    return bindings, payload_type


def _is_plain(hint: Any) -> bool:
    return hint in {dict, Any} or typing.get_origin(hint) in {dict, Mapping}


def _checked_type(hint: Any, where: str, name: str) -> Any:
    is_model = isinstance(hint, type) and hasattr(hint, "model_validate")
    if is_model or is_dataclass(hint) or is_typeddict(hint):
        return hint
    raise ConfigurationError(
        f"{where}: {name!r} is annotated {hint!r}; a payload is a pydantic model, a dataclass, "
        f"a TypedDict, or dict"
    )


def _ms(value: Duration, where: str, name: str) -> int:
    try:
        return to_ms(value)
    except ValueError as error:
        raise ConfigurationError(f"{where}: {name}: {error}") from None


def _mode(mode: str | Mode, where: str) -> Mode:
    try:
        return Mode(mode)
    except ValueError:
        raise ConfigurationError(f"{where}: mode {mode!r}: write auto, sync or async") from None


def _retry(retry: Any, where: str) -> dict[str, Any]:
    if not isinstance(retry, Mapping | None):
        raise ConfigurationError(f'{where}: retry is a dict: write retry={{"max_attempts": 5}}')
    return dict(retry or {})


def _scopes(scopes: Any, where: str) -> frozenset[str]:
    found = [scopes] if isinstance(scopes, str) else scopes
    if not isinstance(found, Iterable) or not all(isinstance(one, str) for one in found):
        raise ConfigurationError(f'{where}: scopes are texts: write scopes=["reports"]')
    return frozenset(found)


def _policy(
    where: str, options: Mapping[str, Any], timeout: Duration | None, estimated: Duration
) -> Policy:
    if unknown := set(options) - _RETRY_KEYS:
        raise ConfigurationError(
            f"{where}: retry has no {min(unknown)!r}; known: {', '.join(sorted(_RETRY_KEYS))}"
        )
    attempts = options.get("max_attempts", _DEFAULT.max_attempts)
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        raise ConfigurationError(f"{where}: retry max_attempts must be a number from 1")

    def ms(name: str, default: int) -> int:
        return _ms(options[name], where, f"retry {name}") if name in options else default

    usual = max(_DEFAULT.timeout_ms, 2 * _ms(estimated, where, "estimated"))
    timeout_ms = usual if timeout is None else _ms(timeout, where, "timeout")
    if not timeout_ms:
        raise ConfigurationError(f"{where}: timeout must be more than nothing")
    return Policy(
        timeout_ms=timeout_ms,
        max_attempts=attempts,
        max_age_ms=ms("max_age", _DEFAULT.max_age_ms),
        backoff_ms=ms("backoff", _DEFAULT.backoff_ms),
        backoff_cap_ms=ms("backoff_cap", _DEFAULT.backoff_cap_ms),
    )


def _types(value: Any, where: str) -> tuple[type[BaseException], ...]:
    types = value if isinstance(value, tuple | list) else (value,)
    if not all(isinstance(item, type) and issubclass(item, BaseException) for item in types):
        raise ConfigurationError(f"{where}: retry `on` and `never` are exception types")
    return tuple(types)


def _concurrency(value: Any, where: str) -> Concurrency | None:
    if value is None:
        return None
    concurrency = value if isinstance(value, Concurrency) else Concurrency(at_most=value)
    at_most = concurrency.at_most
    if not isinstance(at_most, int) or isinstance(at_most, bool) or at_most < 1:
        raise ConfigurationError(
            f"{where}: concurrency must be 1 or more, or Concurrency(at_most=…, key=…)"
        )
    return concurrency
