"""Payloads may be TypedDicts of either kind, nested as they like."""

import typing
from typing import Annotated, Any

import pytest
import typing_extensions
from pydantic import Field, TypeAdapter, ValidationError

from streamer_core.errors import Invalid
from streamer_core.handlers import declared, handler
from streamer_core.model.handler import HandlerSpec
from streamer_core.registry import Registered
from streamer_core.typeddicts import is_typeddict, readable


class New(typing_extensions.TypedDict):
    a: int


class Base(typing.TypedDict):
    name: str


class Inner(typing.TypedDict, total=False):
    size: Annotated[int, Field(gt=0)]


class Outer(Base):
    inner: Inner
    several: list[Inner]
    by_name: dict[str, Inner | None]
    maybe: typing.NotRequired[Inner]


GOOD = {"name": "n", "inner": {}, "several": [{"size": 1}], "by_name": {"a": None}}


def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(readable(Outer))


def test_both_kinds_are_known() -> None:
    assert is_typeddict(Outer)
    assert is_typeddict(New)
    assert not is_typeddict(dict)


def test_what_fits_is_taken_as_it_is() -> None:
    assert _adapter().validate_python(GOOD) == GOOD


@pytest.mark.parametrize(
    "wrong",
    [
        {"inner": {}, "several": [], "by_name": {}},
        {**GOOD, "several": [{"size": 0}]},
        {**GOOD, "by_name": {"a": {"size": "x"}}},
        {**GOOD, "maybe": {"size": -1}},
    ],
)
def test_what_does_not_fit_is_refused_at_any_depth(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _adapter().validate_python(wrong)


def test_a_type_without_any_is_left_alone() -> None:
    hint = dict[str, list[int]]
    assert readable(hint) is hint


def test_a_handler_takes_one() -> None:
    @handler("typed")
    def typed(payload: Outer) -> None: ...

    (spec,) = declared(typed)
    assert isinstance(spec, HandlerSpec)
    assert Registered(spec).validate(GOOD) == GOOD
    with pytest.raises(Invalid):
        Registered(spec).validate({})
