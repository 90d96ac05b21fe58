"""Handlers by action, topics by name, payloads by type."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator
from typing_extensions import TypedDict

from streamer_core.errors import ConfigurationError, Invalid
from streamer_core.handlers import declared, handler, topic
from streamer_core.registry import Registered, Registry


class Model(BaseModel):
    month: str
    pages: int = 1


@dataclass
class Data:
    month: str
    pages: int = 1


class Typed(TypedDict):
    month: str
    pages: NotRequired[int]


def registered(payload_type: Any) -> Registered:
    def function(payload: Any) -> None: ...

    function.__annotations__["payload"] = payload_type
    registry = Registry(declared(handler("a")(function)))
    found = registry.get("a")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("payload_type", "made"),
    [
        (Model, Model(month="10", pages=2)),
        (Data, Data(month="10", pages=2)),
        (Typed, {"month": "10", "pages": 2}),
        (dict, {"month": "10", "pages": 2}),
    ],
)
def test_payloads(payload_type: Any, made: Any) -> None:
    assert registered(payload_type).validate({"month": "10", "pages": 2}) == made


@pytest.mark.parametrize("payload_type", [Model, Data, Typed])
def test_what_does_not_fit_is_named_with_its_path(payload_type: Any) -> None:
    with pytest.raises(Invalid) as caught:
        registered(payload_type).validate({"pages": "many"})
    assert {detail["path"] for detail in caught.value.details} == {
        "payload.month",
        "payload.pages",
    }
    assert all(set(detail) == {"path", "message"} for detail in caught.value.details)
    assert "many" not in str(caught.value.details)


@pytest.mark.parametrize("payload_type", [Model, Data, Typed])
def test_schemas(payload_type: Any) -> None:
    schema = registered(payload_type).schema
    assert schema["type"] == "object"
    assert schema["required"] == ["month"]
    assert set(schema["properties"]) == {"month", "pages"}


def test_the_schema_of_a_dict() -> None:
    assert registered(dict).schema == {"type": "object"}


class Many(BaseModel):
    numbers: list[int]


def test_twenty_problems_are_shown() -> None:
    with pytest.raises(Invalid) as caught:
        registered(Many).validate({"numbers": ["x"] * 500})
    assert len(caught.value.details) == 20


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


def test_long_names_are_cut() -> None:
    with pytest.raises(Invalid) as caught:
        registered(Closed).validate({"x" * 5000 + str(n): 1 for n in range(20)})
    assert max(len(detail["path"]) for detail in caught.value.details) < 300


class Picky(BaseModel):
    kind: Literal["a", "b"]
    even: Annotated[int, Field(multiple_of=2)] = 0

    @field_validator("kind")
    @classmethod
    def _breaks(cls, kind: str) -> str:
        if kind == "b":
            raise KeyError("a bug of the author's")
        return kind


def test_a_validator_that_breaks_is_no_refusal() -> None:
    with pytest.raises(KeyError):
        registered(Picky).validate({"kind": "b"})


def rules(*patterns: str) -> Registry:
    registry = Registry()
    for pattern in patterns:
        names = [part.split("}")[0] for part in pattern.split("{")[1:]]
        rule = eval(f"lambda principal, {', '.join(names)}: True")
        for spec in declared(topic(pattern)(rule)):
            registry.add(spec)
    return registry


@pytest.mark.parametrize(
    ("pattern", "name", "names"),
    [
        ("news", "news", {}),
        ("room:{name}", "room:1", {"name": "1"}),
        ("room:{name}", "room:ä b", {"name": "ä b"}),
        ("a/{x}/b/{y}", "a/1/b/2", {"x": "1", "y": "2"}),
        ("{tenant}:{room}", "t:r", {"tenant": "t", "room": "r"}),
        ("a.b", "a.b", {}),
    ],
)
def test_topics(pattern: str, name: str, names: dict[str, str]) -> None:
    found = rules(pattern).topic(name)
    assert found is not None
    assert (found[0].pattern, found[1]) == (pattern, names)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("news", "newsletter"),
        ("news", "old news"),
        ("room:{name}", "room:"),
        ("room:{name}", "room:1:2"),
        ("room:{name}", "room:1/2"),
        ("a.b", "aXb"),
        ("room:{name}", "Room:1"),
    ],
)
def test_other_topics(pattern: str, name: str) -> None:
    assert rules(pattern).topic(name) is None


def test_the_same_again_changes_nothing() -> None:
    specs = declared(handler("a")(lambda: None))
    registry = Registry([*specs, *specs])
    assert len(registry) == 1
    assert [one.spec for one in registry] == specs


def test_two_of_one_name_are_refused() -> None:
    for twice in (
        [handler("a")(lambda: None), handler("a")(lambda: None)],
        [topic("t")(lambda p: True), topic("t")(lambda p: True)],
    ):
        with pytest.raises(ConfigurationError, match="is declared twice"):
            Registry([spec for one in twice for spec in declared(one)])


def test_the_scopes_of_all() -> None:
    specs = declared(handler("a", scopes="x")(lambda: None))
    specs += declared(handler("b", scopes=["x", "y"])(lambda: None))
    assert Registry(specs).scopes == {"x", "y"}
    assert Registry().scopes == frozenset()
    assert Registry().get("a") is None
