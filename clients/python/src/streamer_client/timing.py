"""Time and chance, handed in so that tests can hold both."""

import asyncio
import random
import time
from dataclasses import dataclass


class Timing:
    """The time a client lives by; subclass it to hand in another."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970, for dates that a server names."""
        return time.time()

    def random(self) -> float:
        """A number from 0 up to 1."""
        return random.random()  # noqa: S311  # spreads reconnects, guards nothing

    async def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """When to try again: full jitter over an exponential bound.

    The delay before attempt n is uniform over 0 to ``min(cap, base * 2**n)`` seconds ("full
    jitter": AWS Architecture Blog, Exponential Backoff And Jitter). ``max_attempts`` failed
    attempts in a row, or ``give_up_after`` seconds offline, end it; None is for ever.
    """

    base: float = 0.25
    cap: float = 30.0
    max_attempts: int | None = None
    give_up_after: float | None = None

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds to wait before the ``attempt``-th try, counted from 0."""
        return chance * min(self.cap, self.base * 2.0 ** min(attempt, 64))

    def exhausted(self, *, attempts: int, offline: float) -> bool:
        """Whether to stop trying after so many failures and seconds."""
        if self.max_attempts is not None and attempts >= self.max_attempts:
            return True
        return self.give_up_after is not None and offline >= self.give_up_after
