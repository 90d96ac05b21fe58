"""Whether a cost grows no faster than it may.

What is measured is divided by what it is allowed to follow: by the size itself where it may grow as
a straight line, by the size's logarithm where it may grow so. The quotient must not rise:

1. Trend: fitted as a power of the size (least squares over the logarithms of both, so that each
   size counts alike), its exponent is at most `TREND`. A cost that grows with the size's square
   where a straight line is allowed has a trend of 1; one that grows with the square root where a
   logarithm is allowed has 0.3 to 0.4; one that does not grow at all is below 0.
2. Last step: from the last size but one to the last it rises by at most `STEP` times. A fit over
   many sizes forgives a cliff at its end; this does not.

Both leave room for noise: costs that scatter by 15 %, more than those of a quiet machine, move the
trend over three decades by 0.03 and a step by 1.2 times.

What is there without any load (a process's own memory, the start without plugins) is taken off
before. Of what is then below `floor`, the measurement cannot tell anything: it is left out of the
trend, and where fewer than three sizes are above it there is none.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

TREND = 0.10
STEP = 1.5

Point = tuple[float, float]
"""A size, and what was measured at it."""


class Reference(StrEnum):
    """What a cost may follow."""

    LOGARITHMIC = "logarithmic"
    LINEAR = "linear"

    def at(self, size: float) -> float:
        """Give what is allowed at a size, but for a factor."""
        return size if self is Reference.LINEAR else math.log2(size)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found.

    Args:
        trend: the fitted exponent; None where too little is above the floor.
        step: how many times as much the last size's quotient is as the one before.
    """

    trend: float | None
    step: float

    @property
    def holds(self) -> bool:
        """Whether it grows no faster than it may."""
        return (self.trend is None or self.trend <= TREND) and self.step <= STEP


def judge(points: Sequence[Point], reference: Reference, *, floor: float) -> Verdict:
    """Judge what was measured at two sizes or more, the smallest first.

    Args:
        points: without what is there at no load; sizes over 1.
        reference: what it may follow.
        floor: what the measurement can just tell from nothing, over 0.
    """
    quotients = [(size, max(cost, floor) / reference.at(size)) for size, cost in points]
    told = [one for one, (_, cost) in zip(quotients, points, strict=True) if cost >= floor]
    (_, before), (_, last) = quotients[-2:]
    return Verdict(trend=exponent(told) if len(told) >= 3 else None, step=last / before)


def exponent(points: Sequence[Point]) -> float:
    """Fit a power: least squares over the logarithms of both."""
    xs = [math.log(x) for x, _ in points]
    ys = [math.log(y) for _, y in points]
    middle, level = sum(xs) / len(xs), sum(ys) / len(ys)
    covariance = sum((x - middle) * (y - level) for x, y in zip(xs, ys, strict=True))
    return covariance / sum((x - middle) ** 2 for x in xs)
