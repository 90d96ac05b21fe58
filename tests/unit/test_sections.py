"""A section becomes what pydantic would make of it, and plain ones do without pydantic."""

import subprocess
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from streamer_core.errors import ConfigurationError
from streamer_core.model.duration import to_ms
from streamer_core.records import record
from streamer_core.sections import Ms, validate_section


@record
class Inner:
    """A table in a table."""

    one: int = 1


@record
class Listing:
    """A table with a list in it."""

    names: tuple[str, ...] = ()


@record
class Plain:
    """Of all kinds that need no pydantic."""

    text: str = "x"
    number: int = 1
    share: float = 0.5
    flag: bool = False
    wait: Ms = 1000
    place: Path = Path("x")
    names: tuple[str, ...] = ()
    other: str | None = None
    later: Ms | None = None
    more: tuple[str, ...] | None = None
    table: Inner = field(default_factory=Inner)
    tables: tuple[Inner, ...] = ()
    deep: tuple[Listing, ...] = ()
    named: dict[str, Inner] = field(default_factory=dict)
    pairs: dict[str, str] = field(default_factory=dict)
    open: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rich:
    """Of kinds that pydantic alone knows."""

    needed: str
    level: Literal["low", "high"] = "low"
    port: Annotated[int, Field(gt=0, lt=65536)] = 80
    key: SecretStr | None = None
    inner: Inner = field(default_factory=Inner)
    ports: list[int] = field(default_factory=list)
    either: int | str = 0
    several: tuple[str, ...] | int = 0

    def __post_init__(self) -> None:
        if self.needed == "never":
            raise ValueError("needed: not that")


STRICT = TypeAdapter(tuple[Plain], config=ConfigDict(extra="forbid"))

VALUES = st.one_of(
    st.text(max_size=3),
    st.sampled_from(["5s", "200ms", "1", "true", "yes", "1.5", "a/b"]),
    st.integers(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-3, max_value=3),
    st.booleans(),
    st.none(),
    st.lists(st.one_of(st.text(max_size=2), st.integers(0, 2)), max_size=3),
    st.dictionaries(st.sampled_from(["one", "x"]), st.one_of(st.integers(), st.text(max_size=1))),
    st.dictionaries(st.text(max_size=1), st.dictionaries(st.just("one"), st.integers())),
    st.lists(st.dictionaries(st.just("one"), st.integers(), max_size=1), max_size=2),
)


@given(st.dictionaries(st.sampled_from([*Plain.__dataclass_fields__]), VALUES, max_size=3))
def test_a_section_is_what_pydantic_makes_of_it(section: dict[str, Any]) -> None:
    """But for booleans that it would take for numbers, and numbers that it would for booleans."""
    assume(not any(isinstance(section.get(name), bool) for name in ("number", "share")))
    assume(type(section.get("flag")) not in {int, float})
    try:
        (theirs,) = STRICT.validate_python((section,))
    except ValidationError:
        with pytest.raises(ConfigurationError, match=r"^here \w+.*: "):
            validate_section(Plain, section, "here")
    else:
        ours = validate_section(Plain, section, "here")
        assert repr(ours) == repr(theirs)


def test_what_is_not_plain() -> None:
    section = {
        "needed": "x",
        "level": "high",
        "port": "81",
        "key": "hunter2",
        "inner": {"one": 2},
        "ports": ["1", 2],
        "either": "x",
    }
    made = validate_section(Rich, section, "here")
    assert made == Rich(
        needed="x",
        level="high",
        port=81,
        key=SecretStr("hunter2"),
        inner=Inner(one=2),
        ports=[1, 2],
        either="x",
    )


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({}, "here needed: Field required"),
        ({"needed": 1}, "here needed: Input should be a valid string"),
        ({"needed": "x", "port": 0}, "here port: Input should be greater than 0"),
        ({"needed": "x", "key": ["hunter2"]}, "here key: Input should be a valid string"),
        ({"needed": "x", "inner": {"one": "y"}}, "here inner.one: Input should be a valid integer"),
        ({"needed": "x", "inner": {"two": 1}}, "inner.two: there is no such setting; known: one"),
        (
            {"needed": "x", "prt": "hunter2"},
            "here prt: there is no such setting; did you mean 'port'?",
        ),
        (
            {"needed": "x", "zzz": 1},
            "known: either, inner, key, level, needed, port, ports, several",
        ),
        ({"needed": "never"}, "here needed: not that"),
        ({"needed": "x", "several": {}}, "write a list"),
    ],
)
def test_what_is_wrong_is_named(section: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        validate_section(Rich, section, "here")
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"names": "a"}, 'names: write a list, as in names = ["…"]'),
        ({"more": "a"}, 'more: write a list, as in more = ["…"]'),
        ({"deep": [{"names": "a"}]}, 'deep.0.names: write a list, as in names = ["…"]'),
        ({"tables": {"one": 1}}, "write a list of tables, each begun by [[plugins.x.tables]]"),
        ({"tables": [1]}, "tables.0: write a table"),
        ({"table": "a"}, "table: write a table"),
        ({"named": "a"}, "named: write a table"),
        ({"named": {"a": 1}}, "named.a: write a table"),
    ],
)
def test_what_toml_has_for_it_is_said(section: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        validate_section(Plain, section, "streamer.toml: [plugins.x]")
    assert says in str(caught.value)


def test_what_is_wrong_in_a_list_of_tables_is_named() -> None:
    says = r"^here tables\.1\.on: there is no such setting; did you mean 'one'\?$"
    with pytest.raises(ConfigurationError, match=says):
        validate_section(Plain, {"tables": [{"one": 1}, {"on": 2}]}, "here")


@pytest.mark.parametrize("wait", ["36525d", 36_525 * 86_400])
def test_a_duration_is_of_a_hundred_years_at_most(wait: Any) -> None:
    assert validate_section(Plain, {"wait": wait}, "here").wait == 36_525 * 86_400_000
    longer = "36526d" if isinstance(wait, str) else wait + 1
    with pytest.raises(ConfigurationError, match=r"here wait: .* is too long; write '36525d'"):
        validate_section(Plain, {"wait": longer}, "here")


def test_all_that_is_wrong_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"here number: .*; here wait: "):
        validate_section(Plain, {"wait": "soon", "number": "x"}, "here")


class Model(BaseModel):
    """The other kind of class."""

    model_config = ConfigDict(extra="forbid")

    wait: Ms = Field(default=1000, gt=0)
    port: Annotated[int, Field(lt=65536)] | None = None
    flag: bool | int = False
    pause: timedelta = timedelta(0)
    inner: Inner = Inner()
    shares: dict[str, list[float]] = Field(default_factory=dict)
    open: Any = None


def test_a_model_takes_durations_too() -> None:
    assert validate_section(Model, {"wait": "5s"}, "here").wait == to_ms("5s")
    for wrong in ("0s", "soon"):
        with pytest.raises(ConfigurationError, match="here wait: "):
            validate_section(Model, {"wait": wrong}, "here")


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        (Plain, "number"),
        (Plain, "share"),
        (Plain, "table.one"),
        (Plain, "tables.0.one"),
        (Plain, "named.a.one"),
        (Model, "port"),
        (Model, "pause"),
        (Model, "inner.one"),
        (Model, "shares.a.1"),
    ],
)
def test_a_boolean_is_no_number(kind: Any, setting: str, value: bool) -> None:
    section: Any = value
    for step in reversed(setting.split(".")):
        section = [0] * int(step) + [section] if step.isdecimal() else {step: section}
    with pytest.raises(ConfigurationError) as caught:
        validate_section(kind, section, "streamer.toml: [plugins.x]")
    assert str(caught.value) == f"streamer.toml: [plugins.x] {setting}: write a number"


def test_where_a_boolean_may_stand() -> None:
    section = {"flag": True, "open": {"a": [True]}, "inner": {}}
    made = validate_section(Model, section, "here")
    assert (made.flag, made.open) == (True, {"a": [True]})
    assert validate_section(Plain, {"flag": True, "number": "1"}, "here").flag
    assert validate_section(Plain, {"flag": "yes", "share": "1"}, "here").flag


def test_a_boolean_is_no_duration() -> None:
    for kind in (Plain, Model):
        with pytest.raises(ConfigurationError, match="here wait: True is not a duration; write '2"):
            validate_section(kind, {"wait": True}, "here")


def test_plain_settings_need_no_pydantic() -> None:
    code = """
import sys
from typing import Any
from streamer_core.plugin import Ms, record
from streamer_core.sections import validate_section

@record
class Table:
    one: int

@record
class Settings:
    text: str
    wait: Ms = 1
    names: tuple[str, ...] | None = None
    tables: tuple[Table, ...] = ()
    named: dict[str, Table] | None = None
    open: dict[str, dict[str, Any]] | None = None

given = {
    "text": "x", "wait": "5s", "names": ["a"], "tables": [{"one": 1}], "named": {"a": {"one": 2}},
    "open": {"t": {"more": ["b"]}},
}
made = validate_section(Settings, given, "here")
assert (made.text, made.wait, made.names) == ("x", 5000, ("a",)), made
assert (made.tables, made.named) == ((Table(one=1),), {"a": Table(one=2)}), made
assert made.open == given["open"], made
assert "pydantic" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
