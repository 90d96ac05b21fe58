"""The soak's verdict: what counts as growth, and what does not."""

import random

import pytest

from benchmarks.soak.growth import growth, slope

TIMES = [5.0 * n for n in range(240)]  # twenty minutes
CHANCE = random.Random(7)


def grows(values: list[float], *, noise: float = 1.0, kept: float = 0.0) -> bool:
    return growth(TIMES, values, noise=noise, allowed_per_h=6, kept=kept).grows


def test_a_straight_line_has_its_slope() -> None:
    assert slope(TIMES, [3 + 2 * time for time in TIMES]) == pytest.approx(2)
    assert slope([1.0], [1.0]) == 0


@pytest.mark.parametrize("level", [0.0, 80.0])
def test_what_stays_where_it_is_does_not_grow(level: float) -> None:
    assert not grows([level for _ in TIMES])
    assert not grows([level + CHANCE.gauss(0, 1) for _ in TIMES])


def test_warming_up_is_no_growth() -> None:
    assert not grows([min(80.0, 0.2 * time) for time in TIMES])


def test_a_sawtooth_is_no_growth() -> None:
    assert not grows([80 + n % 7 for n in range(len(TIMES))])
    assert not grows([80 - n % 7 for n in range(len(TIMES))])


def test_a_few_odd_points_are_no_growth() -> None:
    assert not grows([80.0 + 500 * (n % 20 == 19) for n in range(len(TIMES))])


def test_a_leak_is_growth_whatever_lies_over_it() -> None:
    leak = [80 + time / 200 for time in TIMES]  # 18 MB an hour
    assert grows(leak)
    assert grows([value + CHANCE.gauss(0, 1) for value in leak])
    assert grows([value + n % 5 for n, value in enumerate(leak)])
    found = growth(TIMES, leak, noise=1, allowed_per_h=6)
    assert found.slope_per_h == pytest.approx(18)
    assert found.allowed_per_h == pytest.approx(12, abs=0.1)


def test_what_is_kept_on_purpose_may_fill() -> None:
    filling = [10 * time for time in TIMES]
    assert grows(filling)
    assert not grows(filling, kept=11_990)
    assert grows(filling, kept=9_000)
