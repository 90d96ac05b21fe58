"""One arithmetic for buckets, quotas and gauges."""

from hypothesis import assume, given
from hypothesis import strategies as st

from streamer_core.model.counter import Count

levels = st.floats(0, 1e6)
amounts = st.floats(0.1, 1e3)


def test_a_bucket_leaks() -> None:
    count = Count(key="k", limit=10, refill_per_s=2)
    assert count.leaked(5, 1000) == 3
    assert count.leaked(5, 60_000) == 0
    assert count.leaked(5, -1000) == 5


def test_a_quota_does_not() -> None:
    count = Count(key="k", limit=10)
    assert count.leaked(5, 10**9) == 5
    assert count.fits(9)
    assert not count.fits(10)
    assert count.room_in_ms(10) is None


def test_a_gauge_never_falls_below_nothing() -> None:
    back = Count(key="k", amount=-3, limit=1)
    assert back.fits(10)
    assert back.added(1) == 0


def test_what_will_never_fit() -> None:
    assert Count(key="k", amount=11, limit=10, refill_per_s=1).room_in_ms(0) is None
    assert Count(key="k", amount=11).room_in_ms(0) is None


@given(levels, amounts, amounts)
def test_there_is_room_when_it_was_said(level: float, amount: float, refill: float) -> None:
    count = Count(key="k", amount=amount, limit=1000, refill_per_s=refill)
    wait = count.room_in_ms(level)
    assume(wait is not None)
    assert wait is not None
    assert count.fits(count.leaked(level, wait + 1))


@given(levels)
def test_no_limit_always_fits(level: float) -> None:
    assert Count(key="k").fits(level)
