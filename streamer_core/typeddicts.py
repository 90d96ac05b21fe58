"""`typing.TypedDict` for pydantic, which takes only typing_extensions' before Python 3.12."""

import sys
import types
import typing
from typing import Any, NotRequired, Required


def is_typeddict(hint: Any) -> bool:
    """Tell whether a type is a TypedDict, of `typing` or of `typing_extensions`."""
    return isinstance(hint, type) and hasattr(hint, "__required_keys__")


def readable(hint: Any) -> Any:
    """Give a type that pydantic can validate: every `typing.TypedDict` in it by its twin."""
    if sys.version_info >= (3, 12):
        return hint
    if is_typeddict(hint):
        return _twin(hint)
    arguments = typing.get_args(hint)
    made = tuple(readable(argument) for argument in arguments)
    if all(new is old for new, old in zip(made, arguments, strict=True)):
        return hint
    origin = typing.get_origin(hint)
    return typing.Union[made] if origin is types.UnionType else origin[made]  # noqa: UP007


def _bare(hint: Any) -> Any:
    marked = typing.get_origin(hint) in {Required, NotRequired}
    return readable(typing.get_args(hint)[0] if marked else hint)


def _twin(hint: Any) -> Any:
    from typing_extensions import TypedDict  # noqa: PLC0415 - pydantic brings it

    fields = {
        name: (Required if name in hint.__required_keys__ else NotRequired)[_bare(field)]
        for name, field in typing.get_type_hints(hint, include_extras=True).items()
    }
    return TypedDict(hint.__name__, fields)  # type: ignore[operator]
