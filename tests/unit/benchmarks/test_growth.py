"""The verdict on how a cost grows tells the shapes apart that it is about."""

import math
import random
from collections.abc import Callable

import pytest

from benchmarks.growth.series import Curve
from benchmarks.growth.verdict import Point, Reference, exponent, judge

SIZES = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)


def points(cost: Callable[[float], float], noise: float = 0.0) -> list[Point]:
    chance = random.Random(7)
    return [(size, cost(size) * math.exp(chance.gauss(0, noise))) for size in SIZES]


@pytest.mark.parametrize("power", [0, 0.5, 1, 2])
def test_the_exponent_of_a_power_is_found(power: float) -> None:
    assert exponent(points(lambda size: 3 * size**power)) == pytest.approx(power)


@pytest.mark.parametrize(
    ("reference", "cost"),
    [
        (Reference.LOGARITHMIC, lambda _: 120.0),
        (Reference.LOGARITHMIC, lambda size: 40 * math.log(size)),
        (Reference.LOGARITHMIC, lambda size: 100 + 20 * math.log(size)),
        (Reference.LINEAR, lambda _: 120.0),
        (Reference.LINEAR, lambda size: 9 * size),
        (Reference.LINEAR, lambda size: 500 + size),
        (Reference.LINEAR, lambda size: size**0.7),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_what_grows_as_it_may_holds(
    reference: Reference, cost: Callable[[float], float], noise: float
) -> None:
    assert judge(points(cost, noise), reference, floor=1e-3).holds


@pytest.mark.parametrize(
    ("reference", "cost"),
    [
        (Reference.LOGARITHMIC, lambda size: size**0.5),
        (Reference.LOGARITHMIC, lambda size: 100 + size),
        (Reference.LOGARITHMIC, lambda size: math.log(size) ** 3),
        (Reference.LINEAR, lambda size: size**1.3),
        (Reference.LINEAR, lambda size: size + size**2 / 10_000),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_what_grows_faster_does_not(
    reference: Reference, cost: Callable[[float], float], noise: float
) -> None:
    assert not judge(points(cost, noise), reference, floor=1e-3).holds


def test_a_cliff_at_the_end_is_seen_where_the_fit_forgives_it() -> None:
    gentle = points(lambda size: size**0.8)
    cliff = [*gentle[:-1], (SIZES[-1], 2 * SIZES[-1] ** 0.8)]
    verdict = judge(cliff, Reference.LINEAR, floor=1e-3)
    assert verdict.trend is not None
    assert verdict.trend < 0
    assert not verdict.holds


def test_below_the_floor_there_is_no_trend() -> None:
    grown = [(10.0, -0.2), (100.0, 0.01), (1_000.0, 0.3), (10_000.0, 0.4)]
    verdict = judge(grown, Reference.LINEAR, floor=0.5)
    assert verdict.trend is None
    assert verdict.holds


def test_what_leaps_out_of_the_floor_is_seen() -> None:
    leapt = [(10.0, 0.0), (100.0, 0.1), (1_000.0, 0.2), (10_000.0, 100.0)]
    verdict = judge(leapt, Reference.LINEAR, floor=0.5)
    assert verdict.trend is None
    assert not verdict.holds


def test_what_is_there_at_no_load_is_not_judged() -> None:
    series = Curve(name="n", title="t", along="a").total("memory", unit="MB", panel="MB", base=50)
    for size in (0, 100, 1_000, 10_000):
        series.add(size, 50 + size**1.5)
    assert series.added[0][1] == pytest.approx(1_000)
    assert series.verdict.trend == pytest.approx(0.5)
    assert not series.verdict.holds
