"""A table in bounded memory: what was not used for long is forgotten."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_MOST = 10_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values by key, made when they are first asked for.

    There are two generations. What is used is in the younger one; when that is full it becomes the
    older, and what nobody uses from then on is dropped with it at the next turn.

    Args:
        make: makes a value.
        most: how many values a generation holds.
    """

    def __init__(self, make: Callable[[], V], most: int = _MOST) -> None:
        self._make = make
        self._most = most
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def of(self, key: K) -> V:
        """Give the key's value."""
        found = self._young.get(key)
        return self._found(key) if found is None else found

    def _found(self, key: K) -> V:
        if len(self._young) >= self._most:
            self._old, self._young = self._young, {}
        found = self._old.pop(key, None)
        found = self._young[key] = self._make() if found is None else found
        return found
