"""Lines in CloudWatch's Embedded Metric Format.

After "Specification: Embedded metric format" of the CloudWatch user guide. A line has the metrics
of one set of tags: its members are the tags and the metrics, and `_aws` says which is what.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from streamer_plugin_cloudwatch.series import Part, Series
from streamer_plugin_cloudwatch.settings import IDENTITIES
from streamer_plugin_cloudwatch.totals import Key

MOST_METRICS = 100  # "MetricDirective object"
MOST_DIMENSIONS = 30  # "DimensionSet array"
_MOST_NUMBERS = 4_000
"""How many numbers a line holds: a hundred KB, where an event may have 256 (and, lately, 1,024)."""

Tags = tuple[tuple[str, str], ...]
Line = dict[str, tuple[str, Part]]
"""Metrics by name, each with its unit."""


def lines(
    collected: Mapping[Key, Series], *, namespace: str, now: int, dimensions: Collection[str]
) -> Iterator[str]:
    """Write down what was collected.

    Args:
        collected: series by name, unit and tags.
        namespace: of the metrics.
        now: their time, Unix ms.
        dimensions: identities that shall be dimensions all the same.
    """
    by_tags: dict[Tags, list[tuple[str, str, Part]]] = defaultdict(list)
    for key, series in collected.items():
        for ending, unit, part in series.written():
            by_tags[key.tags].append((key.name + ending, unit, part))
    for tags, parts in by_tags.items():
        sets = _dimension_sets([t for t, _ in tags if t not in IDENTITIES or t in dimensions])
        for line in _split(parts):
            yield _written(line, tags, sets, namespace, now)


def _dimension_sets(names: Sequence[str]) -> list[list[str]]:
    """Give what CloudWatch adds up by: nothing, each tag, all of them.

    It makes no sums over dimensions itself, and no percentiles: an alarm on all actions needs a
    metric of all.
    """
    names = names[:MOST_DIMENSIONS]
    each = [[name] for name in names] if len(names) > 1 else []
    return [[], *each, *([list(names)] if names else [])]


def _split(parts: Sequence[tuple[str, str, Part]]) -> list[Line]:
    """Share the parts out among lines: one of a name in each, and no more than fits."""
    made: list[Line] = []
    numbers: list[int] = []
    for name, unit, part in parts:
        size = len(part) if isinstance(part, list) else 1
        for i, line in enumerate(made):
            fits = len(line) < MOST_METRICS and numbers[i] + size <= _MOST_NUMBERS
            if fits and name not in line:
                line[name] = unit, part
                numbers[i] += size
                break
        else:
            made.append({name: (unit, part)})
            numbers.append(size)
    return made


def _written(line: Line, tags: Tags, sets: list[list[str]], namespace: str, now: int) -> str:
    metrics = [{"Name": name, "Unit": unit} for name, (unit, _) in line.items()]
    directive = {"Namespace": namespace, "Dimensions": sets, "Metrics": metrics}
    members: dict[str, Any] = {"_aws": {"Timestamp": now, "CloudWatchMetrics": [directive]}}
    members.update(tags)
    members.update({name: part for name, (_, part) in line.items()})
    return json.dumps(members, separators=(",", ":"))
