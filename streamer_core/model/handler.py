"""What is known of a handler or a topic before it is called."""

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from streamer_core.model.message import Mode
from streamer_core.model.policy import Policy
from streamer_core.records import record

ErrorTypes = tuple[type[BaseException], ...]


@record
class Concurrency:
    """How many requests of a handler run at once.

    Args:
        at_most: the limit.
        key: what shares the limit: None: the whole handler; a callable is given the payload and
            the principal and returns a string, one limit for each.
    """

    at_most: int
    key: Callable[..., str] | None = None


@record
class HandlerSpec:
    """A handler, as its decorator described it. Durations are milliseconds.

    Args:
        action: its name on the wire.
        call: the function.
        payload_type: a pydantic model, dataclass or TypedDict; None: a plain dict.
        bindings: parameter name to what it gets: `payload`, `context` or `principal`.
        is_async: whether the function is `async def`.
        estimated_ms: how long it is expected to take.
        mode: how it is answered, where the request does not say and its estimate should not decide.
        policy: timeout and retry.
        retry_on, never_retry: which exceptions another attempt may heal.
        concurrency: how many run at once.
        scopes: all of them are needed to call it.
        idempotent: whether a sync request is stored, and answered once.
        description: the first line of its docstring.
        module: where it was declared.
    """

    action: str
    call: Callable[..., Any]
    payload_type: Any = None
    bindings: Mapping[str, str] = field(default_factory=dict)
    is_async: bool = False
    estimated_ms: int = 0
    mode: Mode = Mode.AUTO
    policy: Policy = field(default_factory=Policy)
    retry_on: ErrorTypes = (Exception,)
    never_retry: ErrorTypes = ()
    concurrency: Concurrency | None = None
    scopes: frozenset[str] = frozenset()
    idempotent: bool = False
    description: str = ""
    module: str = ""


@record
class TopicSpec:
    """A topic pattern such as `room:{name}` and the rule that says who may join.

    Args:
        pattern: text with `{names}`; each matches one or more characters but `:` and `/`.
        rule: called with the principal and the names; truth lets in.
        module: where it was declared.
    """

    pattern: str
    rule: Callable[..., bool]
    module: str = ""
