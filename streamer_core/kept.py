"""What a plugin keeps of runs between two hooks."""

from contextlib import suppress
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

MOST = 4_096


class Kept(dict[K, V]):
    """A dict that forgets the oldest: no hook tells the end of a run that has lost its lease."""

    def keep(self, key: K, value: V) -> None:
        """Put a value in."""
        self.pop(key, None)
        self[key] = value
        if len(self) > MOST:
            with suppress(RuntimeError, StopIteration):  # another thread is at it
                self.pop(next(iter(self)), None)
