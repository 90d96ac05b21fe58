"""A clock that moves when a test says so."""

import threading
from random import Random

from streamer_core.ports.clock import Clock

START_MS = 1_800_000_000_000
"""2027-01-15 08:00 UTC, when every manual clock begins."""


class ManualClock(Clock):
    """Time that stands still until it is advanced; ids and chance repeat from a seed.

    Its ids are unique but, unlike a real clock's, can be guessed. Safe to use from any thread.

    Args:
        start_ms: the first time it gives, Unix ms.
        seed: of its ids and of its randomness.
    """

    def __init__(self, start_ms: int = START_MS, *, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._now = start_ms
        self._elapsed = 0
        self._chance = Random(seed)  # noqa: S311 - repeatable on purpose

    def now(self) -> int:
        """Give the time of day: Unix milliseconds."""
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        """Give the seconds advanced so far; setting the time of day does not touch them."""
        with self._lock:
            return self._elapsed / 1000

    def new_id(self) -> str:
        """Give 24 hex digits, the same sequence for each seed."""
        with self._lock:
            return f"{self._chance.getrandbits(96):024x}"

    def random(self) -> float:
        """Give a number from [0, 1), the same sequence for each seed."""
        with self._lock:
            return self._chance.random()

    def advance(self, ms: int) -> int:
        """Let `ms` milliseconds pass; gives the new time of day.

        Raises:
            ValueError: `ms` is negative; `set_now` turns the time of day back.
        """
        if ms < 0:
            raise ValueError("time passes forwards; use set_now to turn the time of day back")
        with self._lock:
            self._now += ms
            self._elapsed += ms
            return self._now

    def advance_s(self, seconds: float) -> int:
        """Let seconds pass, to the millisecond; gives the new time of day."""
        return self.advance(round(seconds * 1000))

    def set_now(self, now: int) -> None:
        """Set the time of day, backwards too, as an operator or NTP may."""
        with self._lock:
            self._now = now
