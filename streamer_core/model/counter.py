"""Arithmetic that a store does in one atomic step."""

from dataclasses import replace
from typing import Literal

from streamer_core.records import record


@record
class Count:
    """Add to a level that may leak, unless that would take it over its limit.

    One shape serves a token bucket (a level that leaks `refill` a second), a quota (no leak, one
    key a day) and a gauge (`amount` may be negative; a level never falls below 0).

    Args:
        key: the counter.
        amount: what to add; a negative amount always fits.
        limit: refuse where the level would exceed this; None: no limit.
        refill_per_s: how much the level sinks each second.
        expires_at: Unix ms after which the counter may be forgotten; None: kept.
        per: where a request's end settles it: the amount is for each second that the request was
            held by a worker, each update stored of it, or each byte of them. Of one that is not
            stored its answer is the one update. None: once.
    """

    key: str
    amount: float = 1
    limit: float | None = None
    refill_per_s: float = 0
    expires_at: int | None = None
    per: Literal["second", "update", "byte"] | None = None

    @property
    def settles(self) -> bool:
        """Whether it is applied at a request's end, and not where it is taken in."""
        return self.amount < 0 or self.per is not None

    def whole(self, *, seconds: float, updates: int, out_bytes: int) -> "Count":
        """Give what is added at the end of a request that took so long and said so much."""
        if self.per is None:
            return self
        times = {"second": seconds, "update": updates, "byte": out_bytes}[self.per]
        return replace(self, amount=self.amount * times, per=None)

    def leaked(self, level: float, elapsed_ms: int) -> float:
        """Give the level after `elapsed_ms`; a clock that ran backwards leaks nothing."""
        return max(0.0, level - self.refill_per_s * max(0, elapsed_ms) / 1000)

    def fits(self, level: float) -> bool:
        """Tell whether the amount has room above the (leaked) level."""
        return self.amount <= 0 or self.limit is None or level + self.amount <= self.limit

    def added(self, level: float) -> float:
        """Give the level after the amount."""
        return max(0.0, level + self.amount)

    def room_in_ms(self, level: float) -> int | None:
        """Tell after how many ms the amount will fit; None: never by itself."""
        if self.limit is None or self.refill_per_s <= 0 or self.amount > self.limit:
            return None
        return max(0, round((level + self.amount - self.limit) / self.refill_per_s * 1000 + 0.5))
