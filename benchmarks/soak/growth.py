"""Whether a series grows: a robust slope over its second half, against an allowance.

The first half is warm-up: caches fill, heaps find their size, the first requests expire. The second
is cut into eight parts, each is taken as its median, and the slope is the median of the slopes
between all pairs of these (Theil and Sen: "Estimates of the regression coefficient based on
Kendall's tau", 1968). Odd points do not move a median, and the teeth of a saw, which would move all
slopes between neighbours one way, lie within a part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import median

S_PER_H = 3600.0
PARTS = 8


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What became of one series.

    Args:
        slope_per_h: fitted over the second half.
        allowed_per_h: the most that is let pass there.
        level: the median of the second half.
    """

    slope_per_h: float
    allowed_per_h: float
    level: float

    @property
    def grows(self) -> bool:
        """Whether it grows by more than it may."""
        return self.slope_per_h > self.allowed_per_h


def growth(
    times: Sequence[float],
    values: Sequence[float],
    *,
    noise: float,
    allowed_per_h: float,
    kept: float = 0.0,
) -> Growth:
    """Judge a series.

    Args:
        times: seconds, rising.
        values: one for each.
        noise: a rise of so much over the second half is none.
        allowed_per_h: what it may grow by besides.
        kept: up to there nothing grows.
    """
    half = len(times) // 2
    times, values = times[half:], values[half:]
    above = [max(value, kept) for value in values]
    hours = max(times[-1] - times[0], 1e-9) / S_PER_H
    return Growth(
        slope_per_h=slope(_medians(times), _medians(above)) * S_PER_H,
        allowed_per_h=noise / hours + allowed_per_h,
        level=median(values),
    )


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Give the median slope between all pairs of points; 0 of fewer than two."""
    points = list(zip(times, values, strict=True))
    slopes = [(b - a) / (t - s) for (s, a), (t, b) in combinations(points, 2) if t > s]
    return median(slopes) if slopes else 0.0


def _medians(values: Sequence[float]) -> list[float]:
    cuts = [len(values) * part // PARTS for part in range(PARTS + 1)]
    return [median(values[a:b]) for a, b in pairwise(cuts) if a < b]
