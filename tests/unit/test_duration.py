"""Durations as people write them."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer_core.model.duration import to_ms


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("200ms", 200),
        ("1.5s", 1500),
        (" 2 m ", 120_000),
        ("1h", 3_600_000),
        ("7d", 604_800_000),
        ("3", 3000),
        (0, 0),
        (0.25, 250),
        (10**30, 10**33),
        (timedelta(minutes=1, milliseconds=5), 60_005),
    ],
)
def test_forms(written: Any, ms: int) -> None:
    assert to_ms(written) == ms


@pytest.mark.parametrize(
    "written",
    [
        "",
        "soon",
        "1 week",
        "-1s",
        "1e3",
        "9" * 400,
        -1,
        timedelta(seconds=-1),
        float("nan"),
        float("inf"),
        1e308,
        True,
        None,
        [1],
    ],
)
def test_what_is_no_duration(written: Any) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        to_ms(written)


@given(st.integers(0, 10**12))
def test_milliseconds_come_back(ms: int) -> None:
    assert to_ms(f"{ms}ms") == ms
