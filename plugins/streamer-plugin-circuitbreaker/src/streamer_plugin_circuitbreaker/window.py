"""Arithmetic of a rolling window: calls counted in tenths of it.

A tenth is known by the time it begins at, so that processes whose settings differ, as they do in a
deploy, count side by side. Calls leave the window with the tenth they fell into: between 9 and 10
tenths of it are looked at.
"""

from collections.abc import Mapping
from typing import NamedTuple

TENTHS = 10


class Tally(NamedTuple):
    """How many calls ended, and how many of them failed, or were slow."""

    calls: int = 0
    failures: int = 0
    slow: int = 0

    def plus(self, other: "Tally") -> "Tally":
        """Give both together."""
        return Tally(
            self.calls + other.calls, self.failures + other.failures, self.slow + other.slow
        )

    def minus(self, other: "Tally") -> "Tally":
        """Give what is new, where a part was counted before."""
        return Tally(*(max(0, mine - theirs) for mine, theirs in zip(self, other, strict=True)))

    @property
    def is_bad(self) -> bool:
        """Whether any call failed or was slow."""
        return self.failures > 0 or self.slow > 0


Window = Mapping[int, Tally]
"""Tallies, by the Unix ms at which their tenth begins."""


def at(now: int, window_ms: int, tally: Tally) -> Window:
    """Give a window that has one tally, of now."""
    width = window_ms // TENTHS
    return {now - now % width: tally}


def together(one: Window, other: Window) -> Window:
    """Give the calls of both."""
    return {
        begins: one.get(begins, Tally()).plus(other.get(begins, Tally()))
        for begins in one.keys() | other.keys()
    }


def recent(window: Window, now: int, window_ms: int) -> Window:
    """Leave out what began a window ago or earlier.

    What begins up to a window later than now was seen by a clock that goes before ours.
    """
    return {
        begins: tally
        for begins, tally in window.items()
        if now - window_ms < begins <= now + window_ms
    }


def total(window: Window) -> Tally:
    """Add all up."""
    return Tally(*(sum(column) for column in zip(*window.values(), strict=True)))
