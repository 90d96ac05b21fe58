"""Counters: buckets, quotas, gauges."""

from streamer_core.model.counter import Count
from streamer_core.ports import Store
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.store.base import StoreRules

BUCKET = Count(key="bucket", amount=1, limit=2, refill_per_s=1)


class CounterRules(StoreRules):
    """Rules about `count`."""

    def test_a_counter_begins_at_zero(self, store: Store) -> None:
        """And adds up."""
        assert store.count([Count(key="n", amount=2)]).levels == (2,)
        counted = store.count([Count(key="n", amount=3)])
        assert (counted.accepted, counted.levels, counted.refused) == (True, (5,), None)

    def test_no_counts_are_accepted(self, store: Store) -> None:
        """An empty list asks for nothing."""
        counted = store.count([])
        assert (counted.accepted, counted.levels) == (True, ())

    def test_a_limit_is_reached_but_not_passed(self, store: Store) -> None:
        """The level may equal the limit; the refused count is named."""
        quota = Count(key="quota", amount=2, limit=4)
        assert [store.count([quota]).accepted for _ in range(3)] == [True, True, False]
        refused = store.count([quota])
        assert (refused.levels, refused.refused, refused.retry_after_ms) == ((4,), quota, None)

    def test_a_bucket_leaks(self, store: Store, clock: ManualClock) -> None:
        """By the clock the store was opened with, and says when there is room."""
        assert [store.count([BUCKET]).accepted for _ in range(3)] == [True, True, False]
        clock.advance(400)
        refused = store.count([BUCKET])
        assert refused.retry_after_ms is not None
        assert 600 <= refused.retry_after_ms <= 610
        clock.advance(refused.retry_after_ms)
        assert store.count([BUCKET]).accepted
        clock.advance(60_000)
        assert store.count([BUCKET]).levels == (1,), "it is never below empty"

    def test_a_refused_count_does_not_stop_the_leak(self, store: Store, clock: ManualClock) -> None:
        """Asking again and again does not push the refill away."""
        for _ in range(2):
            store.count([BUCKET])
        for _ in range(10):
            clock.advance(99)
            assert not store.count([BUCKET]).accepted
        clock.advance(20)
        assert store.count([BUCKET]).accepted

    def test_small_leaks_add_up(self, store: Store, clock: ManualClock) -> None:
        """A level is a fraction where its leak is; nothing is rounded away."""
        slow = Count(key="slow", amount=1, refill_per_s=0.5)
        store.count([slow])
        for _ in range(10):
            clock.advance(100)
            store.count([Count(key="slow", amount=0, refill_per_s=0.5)])
        (level,) = store.count([Count(key="slow", amount=0, refill_per_s=0.5)]).levels
        assert abs(level - 0.5) < 1e-6

    def test_a_clock_turned_back_leaks_nothing(self, store: Store, clock: ManualClock) -> None:
        """And does no harm."""
        store.count([BUCKET])
        clock.set_now(clock.now() - 60_000)
        assert store.count([BUCKET]).levels == (2,)

    def test_clocks_that_differ_leak_once(self, store: Store, clock: ManualClock) -> None:
        """Processes whose clocks are apart take turns; the time between them leaks once only."""
        now = clock.now()
        for _ in range(3):
            store.count([Count(key="n", amount=2, refill_per_s=1)])
            clock.set_now(now + 1000)
            store.count([Count(key="n", amount=1, refill_per_s=1)])
            clock.set_now(now)
        assert store.count([Count(key="n", amount=0)]).levels == (8,)

    def test_all_counts_or_none(self, store: Store) -> None:
        """One without room keeps the others from being counted, before and after it."""
        full = Count(key="full", amount=1, limit=0)
        first, last = Count(key="first", amount=1), Count(key="last", amount=1)
        refused = store.count([first, full, last])
        assert (refused.accepted, refused.refused) == (False, full)
        assert refused.levels == (0, 0, 0)
        assert store.count([Count(key=c.key, amount=0) for c in (first, full, last)]).levels == (
            0,
            0,
            0,
        )
        assert store.count([first, last]).levels == (1, 1)

    def test_a_key_that_comes_twice_counts_twice(self, store: Store) -> None:
        """Both must have room together."""
        twice = Count(key="n", amount=1, limit=3)
        assert store.count([twice, twice]).accepted
        assert not store.count([twice, twice]).accepted
        assert store.count([Count(key="n", amount=0)]).levels == (2,)

    def test_a_gauge_goes_down_again(self, store: Store) -> None:
        """A negative amount always fits, and the level never falls below zero."""
        gauge = Count(key="open", amount=1, limit=1)
        leave = Count(key="open", amount=-1, limit=1)
        store.count([gauge])
        assert not store.count([gauge]).accepted
        assert store.count([leave]).levels == (0,)
        assert store.count([leave]).levels == (0,)
        assert store.count([gauge]).accepted

    def test_a_negative_amount_fits_above_the_limit(self, store: Store) -> None:
        """The limit may have been lowered meanwhile."""
        store.count([Count(key="open", amount=5)])
        assert store.count([Count(key="open", amount=-1, limit=2)]).levels == (4,)

    def test_keys_are_any_text(self, store: Store) -> None:
        """And told apart by every character."""
        keys = ["a", "A", "a ", "a/b", "ä", "a\u0308", "🦆", "%", "_", "a'b"]
        for amount, key in enumerate(keys, 1):
            store.count([Count(key=key, amount=amount)])
        levels = store.count([Count(key=key, amount=0) for key in keys]).levels
        assert levels == tuple(range(1, len(keys) + 1))
