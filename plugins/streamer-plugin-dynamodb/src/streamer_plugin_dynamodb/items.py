"""Items as DynamoDB has them, to plain values and back.

A text that comes from outside and is part of a key goes through `key`. All else that may hold any
text is JSON, which is ASCII: half of a surrogate pair is no UTF-8.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from streamer_core.errors import ItemTooLarge

Plain = Mapping[str, Any]
"""An item's attributes: str, int, float or a frozenset of str; None is an attribute not there."""

MOST_BYTES = 400 * 1024
"""What an item may have, its attributes' names included: DynamoDB's limit."""

_LONGEST_PART = 256  # characters; a key may have 2,048 bytes, its second half 1,024
_SAFE = ":@+,=!*'() "  # what else may stand in a key as it is; `/` and `%` may not


def to_item(plain: Plain) -> dict[str, dict[str, Any]]:
    """Give attributes with their types, without those that are None."""
    return {name: to_value(value) for name, value in plain.items() if value is not None}


def to_value(value: Any) -> dict[str, Any]:
    """Give one value with its type."""
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, frozenset):
        return {"SS": sorted(value)}
    return {"N": repr(value)}


def from_item(item: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Give plain values; attributes of a kind that nobody here writes are left out."""
    return {
        name: _READ[kind](value)
        for name, typed in item.items()
        for kind, value in typed.items()
        if kind in _READ
    }


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


_READ: Mapping[str, Any] = {"S": str, "SS": frozenset, "N": _number}


def check_size(plain: Plain, what: str) -> None:
    """Raise ItemTooLarge where DynamoDB would refuse the item."""
    size = sum(len(name) + _size(value) for name, value in plain.items() if value is not None)
    if size > MOST_BYTES:
        raise ItemTooLarge(f"{what} has {size} bytes, and an item may have {MOST_BYTES}")


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, frozenset):
        return sum(map(_size, value))
    return 21  # the most that a number takes


def key(*parts: str) -> str:
    """Give a key made of any texts, so that no two lists of texts have the same."""
    return "/".join(map(_part, parts))


def _part(text: str) -> str:
    quoted = escaped(text)
    if len(quoted) <= _LONGEST_PART:
        return quoted
    return "%" + hashlib.blake2b(quoted.encode(), digest_size=32).hexdigest()


def escaped(text: str) -> str:
    """Give ASCII without `/`; what begins with a text begins with it escaped, too."""
    if text.isalnum() and text.isascii():
        return text
    return quote(text.encode("utf-8", "surrogatepass"), safe=_SAFE) or "%"


def chunks(those: Iterable[Any], size: int) -> Iterable[list[Any]]:
    """Give them in lists of up to `size`."""
    held: list[Any] = []
    for one in those:
        held.append(one)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held
