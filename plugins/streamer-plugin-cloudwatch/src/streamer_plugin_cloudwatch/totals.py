"""All that was measured since the last write, in bounded memory."""

import threading
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any, NamedTuple

from streamer_core.markers import hookimpl
from streamer_core.model.call import Metric
from streamer_plugin_cloudwatch.names import Guard, clean
from streamer_plugin_cloudwatch.series import BYTES, KINDS, Series, Sum, Values

MOST_SERIES = 2_000
"""How many series there are between two writes; what would make one more is dropped."""

BATCH = 200
"""How many measurements are put aside before they are added up."""

DROPPED = "metrics.dropped"
"""Counts what could not be added up."""

# API reference, MetricDatum: values from -2^360 to 2^360; no sum of these gets there.
_GREATEST = 2.0**300


class Key(NamedTuple):
    """What a series is told apart by."""

    name: str
    unit: str
    tags: tuple[tuple[str, str], ...]


class Totals:
    """Adds up measurements; any thread may bring them.

    They are put aside as they come, which is all that a message waits for, and added up in batches.

    Args:
        most_values: how many values of a tag are told apart.
    """

    def __init__(self, most_values: int) -> None:
        self._guard = Guard(most_values)
        self._lock = threading.Lock()
        self._came: deque[Metric] = deque()
        self._clear()

    def _clear(self) -> None:
        self._series: dict[Key, Series] = {}
        self._found: dict[Any, Series] = {}
        self._dropped = 0

    @hookimpl
    def streamer_on_metric(self, metric: Metric) -> None:
        """Take a measurement: the hook itself, since each message makes several."""
        self._came.append(metric)
        if len(self._came) >= BATCH:
            with self._lock:
                self._add_up()

    def collected(self) -> Mapping[Key, Series]:
        """Give all there is, and begin anew."""
        with self._lock:
            self._add_up()
            series, dropped = self._series, self._dropped
            self._clear()
        if dropped:
            series[Key(DROPPED, "count", ())] = lost = Sum()
            lost.add([dropped], [1])
        return series

    def _add_up(self) -> None:
        """Add up what came, series by series."""
        came = self._came
        alike: dict[Any, list[Metric]] = defaultdict(list)
        for _ in range(len(came)):
            metric = came.popleft()
            name, _value, unit, tags, _times = metric
            try:
                alike[(name, unit, *tags.items()) if tags else (name, unit)].append(metric)
            except TypeError:  # a tag that cannot be told apart
                self._dropped += 1
        for as_it_came, metrics in alike.items():
            self._add(as_it_came, metrics)

    def _add(self, as_it_came: tuple[Any, ...], metrics: Sequence[Metric]) -> None:
        _, values, _, _, times = zip(*metrics, strict=True)
        if not (_are_numbers(values) and _are_numbers(times)):
            if len(metrics) == 1:
                self._dropped += 1
            else:
                for one in metrics:
                    self._add(as_it_came, [one])
            return
        series = self._found.get(as_it_came) or self._admitted(as_it_came)
        if series is None:
            self._dropped += len(metrics)
        else:
            series.add(values, times)

    def _admitted(self, as_it_came: tuple[Any, ...]) -> Series | None:
        """Find the series of what is new; None: there are too many."""
        raw_name, unit, *raw_tags = as_it_came
        name = clean(raw_name)
        named = {clean(tag): value for tag, value in raw_tags}
        # A line has one member of a name: the metric's own goes before a tag's.
        own = (name, name + BYTES)
        tags = tuple((t, self._guard.value(t, v)) for t, v in named.items() if t not in own)
        key = Key(name, unit, tags)
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= MOST_SERIES:
                return None
            series = self._series[key] = KINDS.get(unit, Values)()
        if (name, unit, *tags) == as_it_came:  # there are no more of these than series
            self._found[as_it_came] = series
        return series


def _are_numbers(those: Sequence[float]) -> bool:
    """Tell whether all are numbers that CloudWatch takes."""
    try:
        total = sum(those)
        # Where one is no number, as NaN, or of another kind, as Decimal, so is the sum.
        if not isinstance(total, int | float) or isnan(total):
            return False
        return min(those) >= -_GREATEST and max(those) <= _GREATEST
    except (TypeError, OverflowError):
        return False
