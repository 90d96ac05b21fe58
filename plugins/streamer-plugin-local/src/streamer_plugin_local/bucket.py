"""A token bucket, for new connections."""


class Bucket:
    """Lets through `rate` a second, and as many at once.

    Args:
        rate: a second.
        now: seconds of the clock that `take` is given.
    """

    def __init__(self, rate: int, now: float) -> None:
        self._rate = rate
        self._left = float(rate)
        self._at = now

    def take(self, now: float) -> int | None:
        """Take one; None where there was one, else in how many ms there will be."""
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return max(1, round((1 - self._left) / self._rate * 1000))
        self._left -= 1
        return None
