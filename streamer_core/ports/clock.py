"""Time, identity and chance, handed in so that tests can hold them."""

import os
import random
import time
from abc import ABC, abstractmethod
from base64 import urlsafe_b64encode


class Clock(ABC):
    """Where time, ids and randomness come from."""

    @abstractmethod
    def now(self) -> int:
        """Give the time of day: Unix milliseconds."""

    @abstractmethod
    def monotonic(self) -> float:
        """Give seconds of a clock that never goes back."""

    @abstractmethod
    def new_id(self) -> str:
        """Give an id that nobody can guess: at least 96 random bits, safe in a URL."""

    @abstractmethod
    def random(self) -> float:
        """Give a number from [0, 1), for jitter."""


# The system's: processes that were restored from one snapshot would all draw the same numbers.
_random = random.SystemRandom()


class SystemClock(Clock):
    """The machine's own."""

    def now(self) -> int:
        """Give the time of day: Unix milliseconds."""
        return time.time_ns() // 1_000_000

    monotonic = staticmethod(time.monotonic)  # each message asks several times: without a frame

    def new_id(self) -> str:
        """Give 16 characters of 6 random bits each."""
        return urlsafe_b64encode(os.urandom(12)).decode()

    def random(self) -> float:
        """Give a number from [0, 1)."""
        return _random.random()
