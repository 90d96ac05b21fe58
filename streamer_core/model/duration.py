"""Durations as people write them."""

import re
from datetime import timedelta

Duration = str | int | float | timedelta

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*")


def to_ms(value: Duration) -> int:
    """Give a duration in milliseconds: `"200ms"`, `"1.5s"`, `"2m"`, seconds, or a timedelta.

    Raises:
        ValueError: it has another form or is negative.
    """
    if isinstance(value, timedelta):
        ms = value / timedelta(milliseconds=1)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        ms = value * 1000
    elif isinstance(value, str) and (match := _FORM.fullmatch(value)):
        ms = float(match[1]) * _UNITS_MS[match[2] or "s"]
    else:
        raise ValueError(f"{value!r} is not a duration; write '200ms', '5s', '2m', '1h' or '7d'")
    if not 0 <= ms < float("inf"):
        raise ValueError(f"{value!r} is not a duration: it must not be negative or infinite")
    return round(ms)
