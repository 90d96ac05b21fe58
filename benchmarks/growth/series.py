"""What a curve is made of."""

import statistics
from dataclasses import dataclass, field

from benchmarks.growth.verdict import Point, Reference, Verdict, judge

MB = 1e6
FLOOR = 1e-3
"""For what is never lost in noise."""
FLOOR_MB = 0.5
"""A process's memory comes and goes by so much without any load."""


@dataclass(kw_only=True)
class Series:
    """One cost at growing sizes.

    Args:
        name: what costs.
        unit: of the cost.
        panel: the axis it is drawn on, with others of its kind.
        may: what it may follow.
        base: what is there at no load, and not judged.
        floor: what the measurement can just tell from nothing, in `unit`.
        points: sizes and costs, as measured, the smallest first.
    """

    name: str
    unit: str
    panel: str
    may: Reference
    floor: float
    base: float = 0.0
    points: list[Point] = field(default_factory=list)

    def add(self, size: float, cost: float) -> None:
        """Keep what was measured at the next size."""
        self.points.append((size, cost))

    @property
    def added(self) -> list[Point]:
        """What the load adds to what is there without it."""
        return [(size, cost - self.base) for size, cost in self.points if size > 0]

    @property
    def verdict(self) -> Verdict:
        """Judge it."""
        return judge(self.added, self.may, floor=self.floor)

    @property
    def level(self) -> float:
        """How many times as much as what it may follow it is, in the mean over all sizes."""
        those = [max(cost, self.floor) / self.may.at(size) for size, cost in self.added]
        return statistics.geometric_mean(those)


@dataclass(kw_only=True)
class Curve:
    """How something grows.

    Args:
        name: of the file it is drawn in.
        title: a line about it.
        along: what grows.
    """

    name: str
    title: str
    along: str
    series: list[Series] = field(default_factory=list)

    def each(self, name: str, *, unit: str = "µs", panel: str = "µs each") -> Series:
        """Add the cost of one operation, which may follow a logarithm."""
        return self._put(
            Series(name=name, unit=unit, panel=panel, may=Reference.LOGARITHMIC, floor=FLOOR)
        )

    def total(
        self, name: str, *, unit: str, panel: str, floor: float = FLOOR, base: float = 0.0
    ) -> Series:
        """Add what may follow a straight line: the cost of all together, or of a look at all."""
        return self._put(
            Series(name=name, unit=unit, panel=panel, may=Reference.LINEAR, floor=floor, base=base)
        )

    def _put(self, series: Series) -> Series:
        self.series.append(series)
        return series
