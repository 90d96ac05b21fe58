"""Measurements of one name and one set of tags, added up between two writes."""

from collections.abc import Callable, Sequence

MOST_IN_ARRAY = 100  # CloudWatch's specification of the format: "Target members"
MOST_KEPT = 1_000
"""How many values of a series are kept for percentiles; see `Values`."""

BYTES = ".bytes"
"""What the name of a metric ends in that adds up bytes."""

Part = float | list[float]
"""What a metric has in one line: a number, or an array of them."""

Written = Sequence[tuple[str, str, Part]]
"""What is written of a series: the ending of the metric's name, CloudWatch's unit, and a part."""


class Sum:
    """Counters: only how many there were matters."""

    def __init__(self) -> None:
        self._sum: float = 0

    def add(self, values: Sequence[float], _: Sequence[int]) -> None:
        """Add them."""
        self._sum += sum(values)

    def written(self) -> Written:
        """Give the sum."""
        return [("", "Count", self._sum)]


class Sizes:
    """Bytes: how many there were, and of how many messages."""

    def __init__(self) -> None:
        self._sum: float = 0
        self._times = 0

    def add(self, values: Sequence[float], times: Sequence[int]) -> None:
        """Add them."""
        self._sum += sum(values)
        self._times += sum(times)

    def written(self) -> Written:
        """Give both."""
        return [("", "Count", self._times), (BYTES, "Bytes", self._sum)]


class Last:
    """Gauges: only how it stands now matters."""

    def __init__(self) -> None:
        self._last: float = 0

    def add(self, values: Sequence[float], _: Sequence[int]) -> None:
        """Put the last of them in the place of the one before."""
        self._last = values[-1]

    def written(self) -> Written:
        """Give the last."""
        return [("", "None", self._last)]


class Values:
    """Times and the like: each value is written, for CloudWatch to make percentiles of.

    A thousand are kept at most. When there are as many, every second is dropped, and of those to
    come only every second is kept, then every fourth, and so on: a fair sample. The greatest of all
    is always among them.
    """

    unit = "None"

    def __init__(self) -> None:
        self._kept: list[float] = []
        self._every = 1
        self._passed = 0
        self._greatest = float("-inf")

    def add(self, values: Sequence[float], _: Sequence[int]) -> None:
        """Keep them, or pass over those that are not to be kept."""
        self._greatest = max(self._greatest, *values)
        came = self._passed + len(values)
        self._kept += values[self._every - 1 - self._passed :: self._every]
        self._passed = came % self._every
        if len(self._kept) >= MOST_KEPT:
            del self._kept[::2]
            self._every *= 2

    def written(self) -> Written:
        """Give them, in arrays of a hundred; to three places."""
        kept = sorted(self._kept)
        kept[-1] = self._greatest
        rounded = [round(value, 3) for value in kept]
        arrays = [rounded[i : i + MOST_IN_ARRAY] for i in range(0, len(rounded), MOST_IN_ARRAY)]
        return [("", self.unit, array) for array in arrays]


class Times(Values):
    """Values in milliseconds."""

    unit = "Milliseconds"


Series = Sum | Sizes | Last | Values

KINDS: dict[str, Callable[[], Series]] = {
    "count": Sum,
    "bytes": Sizes,
    "gauge": Last,
    "ms": Times,
}
"""By unit; those of all others are `Values`."""
