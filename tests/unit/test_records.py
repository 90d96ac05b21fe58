"""A record is a frozen, keyword-only dataclass in all but the time it takes to make its class."""

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, cast

import pytest

from streamer_core.records import record


@record
class Point:
    """A place."""

    x: int
    y: int = 0
    tags: Mapping[str, Any] = field(default_factory=dict)
    secret: str | None = field(default=None, repr=False)
    seen: int = field(default=0, compare=False)


@record(slots=False)
class Open:
    """One with a `__dict__`."""

    x: int
    tags: list[str] = field(default_factory=list)


@record
class Nothing:
    """One without fields."""


@record
class One:
    """One with a single field."""

    x: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Plain:
    """What `Point` is compared with."""

    x: int
    y: int = 0
    tags: Mapping[str, Any] = field(default_factory=dict)
    secret: str | None = field(default=None, repr=False)
    seen: int = field(default=0, compare=False)


def test_it_is_made_of_keywords_and_defaults() -> None:
    point = Point(x=1, secret="s")
    assert [getattr(point, one.name) for one in fields(Point)] == [1, 0, {}, "s", 0]
    assert Point(x=1).tags is not Point(x=1).tags
    assert Point(x=1, tags={"a": 1}).tags == {"a": 1}
    assert (Open(x=1).tags, Open(x=1, tags=["a"]).tags) == ([], ["a"])


@pytest.mark.parametrize("kind", [Point, Plain])
@pytest.mark.parametrize("given", [{}, {"y": 1}, {"x": 1, "z": 2}])
def test_wrong_arguments_are_a_type_error(kind: Any, given: dict[str, int]) -> None:
    with pytest.raises(TypeError, match=r"__init__\(\)"):
        kind(**given)
    with pytest.raises(TypeError, match="positional"):
        kind(1)


@pytest.mark.parametrize("one", [Point(x=1), Open(x=1), Nothing()])
def test_it_is_frozen(one: Any) -> None:
    for name in ("x", "other"):
        with pytest.raises(FrozenInstanceError, match=name):
            setattr(one, name, 2)
        with pytest.raises(FrozenInstanceError, match=name):
            delattr(one, name)


def test_it_has_slots_where_it_is_not_said_otherwise() -> None:
    assert not hasattr(Point(x=1), "__dict__")
    assert vars(Open(x=1)) == {"x": 1, "tags": []}


def test_equal_where_what_is_compared_is_equal() -> None:
    assert Point(x=1) == Point(x=1, seen=5)
    assert Point(x=1) != Point(x=2)
    assert Point(x=1) != cast("Any", Plain(x=1))
    assert (One(x=1), Nothing()) == (One(x=1), Nothing())
    assert One(x=1) != cast("Any", 1)
    assert Open(x=1) == Open(x=1) != Open(x=1, tags=["a"])


def test_hashed_by_what_is_compared() -> None:
    assert len({One(x=1), One(x=1), One(x=2)}) == 2
    assert hash(Nothing()) == hash(Nothing())
    with pytest.raises(TypeError, match="unhashable"):
        hash(Point(x=1))


def test_it_reads_as_a_dataclass_does() -> None:
    given: dict[str, Any] = {"x": 1, "tags": {"a": [1]}, "secret": "s"}
    assert repr(Point(**given)) == repr(Plain(**given)).replace("Plain", "Point")
    assert repr(Nothing()) == "Nothing()"


def test_dataclasses_take_it() -> None:
    point = Point(x=1, tags={"a": One(x=1)})
    assert all(map(is_dataclass, (Point, Open, Nothing, One)))
    assert replace(point, y=2) == Point(x=1, y=2, tags=point.tags)
    assert asdict(point)["tags"] == {"a": {"x": 1}}
    assert [one.name for one in fields(Point)] == [one.name for one in fields(Plain)]
    with pytest.raises(TypeError, match="z"):
        replace(point, z=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("one", [Point(x=1, tags={"a": 1}, secret="s"), Open(x=1, tags=["a"])])
def test_it_is_copied_and_pickled(one: Any) -> None:
    for other in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert other == one
        assert type(other) is type(one)


def test_its_signature_is_a_dataclass_s() -> None:
    ours, theirs = (inspect.signature(kind).parameters.values() for kind in (Point, Plain))
    assert [(p.name, p.kind, p.annotation) for p in ours] == [
        (p.name, p.kind, p.annotation) for p in theirs
    ]

    @record
    class Fresh:
        """One that nobody has made yet."""

        x: int

    assert inspect.signature(Fresh) == inspect.signature(One)
    assert Fresh.__init__.__qualname__.endswith("Fresh.__init__")


def test_a_class_made_from_it() -> None:
    class Named(Point):
        """One that knows more."""

        @property
        def sum(self) -> int:
            return self.x + self.y

    named = Named(x=1, y=2)
    assert named.sum == 3
    assert named != Point(x=1, y=2)
    assert dataclasses.replace(named, x=2).sum == 4


def test_a_frozen_dataclass_made_from_it() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Named(Point):
        """One with a field more."""

        name: str = ""

    named = Named(x=1, name="a")
    assert (named.x, named.name) == (1, "a")
    assert named == Named(x=1, name="a") != Named(x=1)
    with pytest.raises(TypeError, match="cannot inherit non-frozen"):
        dataclass(type("Loose", (Point,), {}))


@record
class Place(Point):
    """A record made from another."""

    name: str = ""


@record(slots=False)
class Wide(Open):
    """The same without slots."""

    name: str = ""


def test_a_record_made_from_a_record() -> None:
    place, wide = Place(x=1, name="a", seen=5), Wide(x=1, name="a")
    assert (place.x, place.y, place.name, vars(wide)["name"]) == (1, 0, "a", "a")
    assert place == Place(x=1, name="a") != Place(x=1)
    assert place != Point(x=1)
    assert repr(Place(x=1)) == "Place(x=1, y=0, tags={}, seen=0, name='')"
    assert replace(place, y=2).name == "a"
    assert pickle.loads(pickle.dumps(place)) == copy.copy(place) == place
    assert not hasattr(place, "__dict__")
    for one in (place, wide):
        with pytest.raises(FrozenInstanceError, match="x"):
            setattr(one, "x", 2)  # noqa: B010 - it is frozen, mypy says so too


def test_what_is_to_be_done_after_init_is_done() -> None:
    @record
    class Positive:
        """One that is checked."""

        x: int

        def __post_init__(self) -> None:
            if self.x <= 0:
                raise ValueError(self.x)

    assert Positive(x=1).x == 1
    with pytest.raises(ValueError, match="-1"):
        Positive(x=-1)
    with pytest.raises(ValueError, match="0"):
        replace(Positive(x=1), x=0)
