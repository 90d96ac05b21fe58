"""A table in bounded memory: what was not used for long is forgotten."""

from collections.abc import Callable, Hashable
from typing import TypeVar

_MOST = 10_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(dict[K, V]):
    """Values by key, made when they are first asked for, as `table[key]`.

    There are two generations. What is used is in the younger one, this dict itself; when that is
    full it becomes the older, and what nobody uses from then on goes with it at the next turn.

    Args:
        make: makes a value.
        most: how many values a generation holds.

    Attributes:
        old: the older generation.
    """

    def __init__(self, make: Callable[[], V], most: int = _MOST) -> None:
        super().__init__()
        self._make = make
        self._most = most
        self.old: dict[K, V] = {}

    def __missing__(self, key: K) -> V:
        if len(self) >= self._most:
            self.old = dict(self)
            self.clear()
        found = self.old.pop(key, None)
        found = self[key] = self._make() if found is None else found
        return found
