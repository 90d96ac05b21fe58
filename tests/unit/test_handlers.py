"""What a function says of itself by its signature and its decorator."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from streamer_core import Concurrency, Context, Principal, Reject, handler, topic
from streamer_core.errors import ConfigurationError
from streamer_core.handlers import declared
from streamer_core.model.handler import HandlerSpec, TopicSpec
from streamer_core.model.message import Mode
from streamer_core.model.policy import Policy


class Model(BaseModel):
    month: str


@dataclass
class Data:
    month: str


class Typed(TypedDict):
    month: str


def spec_of(function: Any) -> HandlerSpec:
    (spec,) = declared(function)
    assert isinstance(spec, HandlerSpec)
    return spec


def test_the_function_is_left_as_it_is() -> None:
    def double(payload: dict[str, int]) -> int:
        return 2 * payload["n"]

    assert handler("double")(double) is double
    assert double({"n": 2}) == 4


def test_defaults() -> None:
    @handler("a")
    def plain() -> None:
        """Do it.

        More.
        """

    spec = spec_of(plain)
    assert (spec.action, spec.bindings, spec.payload_type, spec.is_async) == ("a", {}, None, False)
    assert (spec.mode, spec.policy, spec.estimated_ms) == (Mode.AUTO, Policy(), 0)
    assert (spec.retry_on, spec.never_retry) == ((Exception,), (Reject,))
    assert (spec.description, spec.module) == ("Do it.", __name__)


def test_everything_said() -> None:
    @handler(
        "a",
        estimated="2m",
        timeout="10m",
        mode="async",
        retry={
            "max_attempts": 5,
            "max_age": "2d",
            "backoff": "2s",
            "backoff_cap": "1m",
            "on": OSError,
            "never": [KeyError, ValueError],
        },
        concurrency=3,
        scopes=["one", "two"],
        idempotent=True,
    )
    async def full() -> None: ...

    spec = spec_of(full)
    assert spec.is_async
    assert spec.idempotent
    assert (spec.estimated_ms, spec.mode) == (120_000, Mode.ASYNC)
    assert spec.policy == Policy(
        timeout_ms=600_000,
        max_attempts=5,
        max_age_ms=172_800_000,
        backoff_ms=2_000,
        backoff_cap_ms=60_000,
    )
    assert (spec.retry_on, spec.never_retry) == ((OSError,), (Reject, KeyError, ValueError))
    assert spec.concurrency == Concurrency(at_most=3)
    assert spec.scopes == {"one", "two"}


@pytest.mark.parametrize(
    ("estimated", "timeout_ms"), [(0, 300_000), ("2m", 300_000), ("1h", 7_200_000)]
)
def test_the_usual_timeout_is_twice_the_estimate(estimated: Any, timeout_ms: int) -> None:
    @handler("a", estimated=estimated)
    def function() -> None: ...

    assert spec_of(function).policy.timeout_ms == timeout_ms


def test_one_scope_may_be_a_text() -> None:
    @handler("a", scopes="billing")
    def function() -> None: ...

    assert spec_of(function).scopes == {"billing"}


def _model_first(request: Model, ctx: Context, who: Principal) -> None: ...
def _model_last(who: Principal, ctx: Context, request: Model) -> None: ...
def _data(ctx: Context, data: Data) -> None: ...
def _typed(data: Typed) -> None: ...
def _keyword(*, ctx: Context, data: Typed) -> None: ...
def _bare(data) -> None: ...  # type: ignore[no-untyped-def]
def _dict(data: dict[str, Any]) -> None: ...
def _plain_dict(data: dict) -> None: ...  # type: ignore[type-arg]
def _mapping(data: Mapping[str, Any]) -> None: ...
def _any(data: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "bindings", "payload_type"),
    [
        (_model_first, {"request": "payload", "ctx": "context", "who": "principal"}, Model),
        (_model_last, {"who": "principal", "ctx": "context", "request": "payload"}, Model),
        (_data, {"ctx": "context", "data": "payload"}, Data),
        (_typed, {"data": "payload"}, Typed),
        (_keyword, {"ctx": "context", "data": "payload"}, Typed),
        (_bare, {"data": "payload"}, None),
        (_dict, {"data": "payload"}, None),
        (_plain_dict, {"data": "payload"}, None),
        (_mapping, {"data": "payload"}, None),
        (_any, {"data": "payload"}, None),
    ],
)
def test_bindings(
    function: Callable[..., None], bindings: dict[str, str], payload_type: Any
) -> None:
    spec = spec_of(handler("a")(function))
    assert (spec.bindings, spec.payload_type) == (bindings, payload_type)


def _two(one: Model, two: Data) -> None: ...
def _number(payload: int) -> None: ...
def _list(payload: list[int]) -> None: ...
def _optional(payload: Model | None) -> None: ...
def _star(*payload: Model) -> None: ...
def _stars(**payload: Any) -> None: ...
def _positional(ctx: Context, /) -> None: ...
def _unknown(payload: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821


class _Methods:
    def method(self, payload: Model) -> None: ...


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (_two, "'two' would be a second payload"),
        (_number, "a payload is a pydantic model"),
        (_list, "a payload is a pydantic model"),
        (_optional, "a payload is a pydantic model"),
        (_star, "cannot be bound"),
        (_stars, "cannot be bound"),
        (_positional, "take the `/` out"),
        (_unknown, "cannot be resolved"),
        (_Methods.method, "second payload"),
    ],
)
def test_signatures_that_cannot_be_bound(function: Callable[..., None], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        handler("a")(function)
    assert function.__name__ in str(caught.value)


def _pieces() -> Iterator[int]:
    yield 1


async def _async_pieces() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("function", [_pieces, _async_pieces])
def test_what_yields_is_no_handler(function: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"give each with `ctx\.emit\(…\)`"):
        handler("a")(function)


@pytest.mark.parametrize("mark", [handler, topic])
def test_a_decorator_without_its_name_is_refused(mark: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"test_handlers\._number: write @"):
        mark(_number)
    with pytest.raises(ConfigurationError, match="write @"):
        mark(None)


@pytest.mark.parametrize("mark", [handler, topic])
def test_a_class_is_no_function(mark: Any) -> None:
    with pytest.raises(ConfigurationError, match="stands above a function"):
        mark("a")(Model)


def test_a_function_is_declared_once() -> None:
    @handler("a")
    def function() -> None: ...

    with pytest.raises(ConfigurationError, match="stands above it already"):
        handler("b")(function)


@pytest.mark.parametrize("action", ["", "a b", "streamer.x", "x" * 129, "ä", "a\n"])
def test_actions_that_cannot_be(action: str) -> None:
    with pytest.raises(ConfigurationError, match="is no action"):
        handler(action)(lambda: None)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"estimated": "soon"}, "estimated: 'soon' is not a duration"),
        ({"timeout": 0}, "timeout must be more than nothing"),
        ({"timeout": "-1s"}, "timeout"),
        ({"mode": "fast"}, "mode 'fast'"),
        ({"retry": {"attempts": 3}}, "retry has no 'attempts'"),
        ({"retry": {"max_attempts": 0}}, "max_attempts"),
        ({"retry": {"max_attempts": "3"}}, "max_attempts"),
        ({"retry": {"backoff": "x"}}, "retry backoff"),
        ({"retry": {"on": "OSError"}}, "exception types"),
        ({"retry": {"never": [int]}}, "exception types"),
        ({"retry": {"max_attempts": True}}, "max_attempts"),
        ({"retry": 3}, 'write retry={"max_attempts": 5}'),
        ({"retry": "3"}, 'write retry={"max_attempts": 5}'),
        ({"scopes": 3}, "scopes are texts"),
        ({"scopes": [3]}, "scopes are texts"),
        ({"concurrency": 0}, "concurrency must be 1 or more"),
        ({"concurrency": "4"}, "concurrency must be 1 or more"),
        ({"concurrency": True}, "concurrency must be 1 or more"),
        ({"concurrency": Concurrency(at_most=-1)}, "concurrency"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        handler("a", **options)(lambda: None)


def test_a_topic() -> None:
    @topic("room:{name}/{part}")
    def may_join(principal: Principal, part: str, name: str) -> bool:
        return True

    (spec,) = declared(may_join)
    assert spec == TopicSpec(pattern="room:{name}/{part}", rule=may_join, module=__name__)


async def _async_rule(principal: Principal) -> bool:
    return True


@pytest.mark.parametrize(
    ("pattern", "rule", "says"),
    [
        ("", lambda principal: True, "needs names that differ"),
        ("a:{}", lambda principal: True, "needs names that differ"),
        ("{a}:{a}", lambda principal, a: True, "needs names that differ"),
        ("a:{b}", lambda principal: True, "must take"),
        ("a", lambda principal, b: True, "must take"),
        ("a:{b}", lambda b: True, "must take"),
        ("a", _async_rule, "plain function"),
    ],
)
def test_topics_that_cannot_be(pattern: str, rule: Callable[..., bool], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        topic(pattern)(rule)


def test_what_a_module_declares() -> None:
    @handler("a")
    def one() -> None: ...

    @topic("b")
    def two(principal: Principal) -> bool:
        return True

    module = SimpleNamespace(one=one, two=two, other=3, text="x", cls=Model)
    assert declared(module) == [*declared(one), *declared(two)]
