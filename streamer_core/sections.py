"""Check a section of the settings against its class: a frozen dataclass, or a pydantic model.

A dataclass whose settings are plain, as nearly all are, is made without pydantic: its import takes
longer than all the rest of a start. Whatever is not plain, and whatever is wrong, pydantic judges.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from streamer_core.errors import ConfigurationError
from streamer_core.model.duration import to_ms

_LONGEST_MS = 36_525 * 86_400_000
"""A hundred years: a thread waits no longer than 292, nor has SQLite later times."""


class _Milliseconds:
    """Tells pydantic how a duration is read."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema  # noqa: PLC0415

        return core_schema.no_info_before_validator_function(_ms, handler(source))


def _ms(value: Any) -> int:
    ms = to_ms(value)
    if ms > _LONGEST_MS:
        raise ValueError(f"{value!r:.80} is too long; write '36525d' at most")
    return ms


Ms = Annotated[int, _Milliseconds()]
"""Milliseconds, written as a duration: `"200ms"`, `"5s"`, or in seconds."""


class Told(int):
    """A whole number that the environment says; for `true` it may say 1, as no file may."""


def validate_section(kind: Any, section: Mapping[str, Any], where: str) -> Any:
    """Make the settings of a section.

    Args:
        kind: a frozen dataclass or a pydantic model.
        section: as it was read.
        where: names the section in sentences.

    Raises:
        ConfigurationError: names the setting, what is wrong and, for a misspelt one, what is meant.
    """
    if is_dataclass(kind):
        make: Any = kind
        try:
            return make(**_plain_values(kind, section))
        except (TypeError, ValueError):  # pydantic knows what is wrong, or that nothing is
            pass
    return _validated(kind, section, where)


def _plain_values(kind: Any, section: Mapping[str, Any]) -> dict[str, Any]:
    if not section:
        return {}
    hints = get_type_hints(kind, include_extras=True)
    return {name: _plain(hints.get(name), value) for name, value in section.items()}


def _plain(hint: Any, value: Any) -> Any:
    """Give a value as pydantic would, where that is plain to see.

    Raises:
        ValueError: it is not.
    """
    hint, kind = _without_none(hint), type(value)
    if hint == Ms:
        return _ms(value)
    if hint is Any or (hint is kind and kind in {str, int, bool, float}):
        return value
    if (hint, kind) in {(Path, str), (int, Told)}:
        return hint(value)
    if get_origin(hint) is tuple and kind is list and get_args(hint)[1:] == (...,):
        return tuple(_plain(get_args(hint)[0], one) for one in value)
    if get_origin(hint) in {dict, Mapping} and kind is dict and get_args(hint)[0] is str:
        return {name: _plain(get_args(hint)[1], one) for name, one in value.items()}
    if is_dataclass(hint) and kind is dict:
        make: Any = hint
        return make(**_plain_values(hint, value))
    raise ValueError


def _without_none(hint: Any) -> Any:
    if get_origin(hint) not in {Union, UnionType}:
        return hint
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    return kinds[0] if len(kinds) == 1 else hint


def _validated(kind: Any, section: Mapping[str, Any], where: str) -> Any:
    from pydantic import ValidationError  # noqa: PLC0415

    try:
        made = _read(kind, section)
    except ValidationError as error:
        raise ConfigurationError(
            "; ".join(_sentence(kind, where, problem) for problem in error.errors())
        ) from None
    if wrong := list(_miscounted(section, made)):
        raise ConfigurationError("; ".join(f"{where} {one}" for one in wrong))
    return made


def _read(kind: Any, section: Mapping[str, Any]) -> Any:
    if not is_dataclass(kind):
        return kind.model_validate(dict(section))
    from pydantic import ConfigDict, TypeAdapter  # noqa: PLC0415

    # A dataclass cannot be given a configuration, but takes that of what holds it.
    adapter = TypeAdapter(tuple[kind], config=ConfigDict(extra="forbid"))
    return adapter.validate_python((dict(section),))[0]


def _miscounted(given: Any, made: Any, *place: str) -> Iterator[str]:
    """Say where `true` was read as 1, or `false` as 0, or the other way round: pydantic does so for
    all numbers unless it is strict, which it then is with text from the environment, too."""
    if isinstance(given, bool):
        if isinstance(made, int | float | timedelta) and not isinstance(made, bool):
            yield f"{'.'.join(place)}: write a number"
    elif type(given) in {int, float}:
        if isinstance(made, bool):
            yield f"{'.'.join(place)}: write true or false"
    elif isinstance(given, Mapping):
        for name, one in given.items():
            inner = made.get(name) if isinstance(made, Mapping) else getattr(made, name, None)
            yield from _miscounted(one, inner, *place, name)
    elif isinstance(given, list) and isinstance(made, list | tuple):
        for number, (one, inner) in enumerate(zip(given, made, strict=False)):
            yield from _miscounted(one, inner, *place, str(number))


def _sentence(kind: Any, where: str, problem: Any) -> str:
    place = problem["loc"][1:] if is_dataclass(kind) else problem["loc"]
    name = ".".join(map(str, place))
    if problem["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        names = _names(_table_at(kind, place[:-1]))
        close = nearest(str(place[-1]), names)
        hint = f"did you mean {close!r}?" if close else f"known: {', '.join(names) or 'none'}"
        return f"{where} {name}: there is no such setting; {hint}"
    if problem["type"] in {"dict_type", "dataclass_type"}:
        return f"{where} {name}: write a table"
    if problem["type"] == "tuple_type":
        if any(map(is_dataclass, get_args(_table_at(kind, place)))):
            table = where.rpartition("[")[2].rstrip("]")
            return f"{where} {name}: write a list of tables, each begun by [[{table}.{name}]]"
        return f'{where} {name}: write a list, as in {place[-1]} = ["…"]'
    # The value itself is left out: it may be a secret.
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where} {name}: {message}" if name else f"{where} {message}"


def _table_at(kind: Any, place: Iterable[Any]) -> Any:
    """Give the class of the table that lies there, in tables and lists of tables."""
    for step in place:
        if isinstance(step, int):
            hint = next(iter(get_args(kind)), None)
        elif get_origin(kind) in {dict, Mapping}:
            hint = get_args(kind)[1]
        else:
            hint = get_type_hints(kind).get(step) if isinstance(kind, type) else None
        kind = _without_none(hint)
    return kind


def _names(kind: Any) -> list[str]:
    if is_dataclass(kind):
        return sorted(one.name for one in fields(kind))
    return sorted(getattr(kind, "model_fields", ()))


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Give the known name that a misspelt one was probably meant to be."""
    import difflib  # noqa: PLC0415 - for sentences alone

    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)
