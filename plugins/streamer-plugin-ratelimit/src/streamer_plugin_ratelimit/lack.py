"""What one message needs of a limit that the process has nothing of at hand."""

from streamer_core.model.counter import Count
from streamer_plugin_ratelimit.allowance import Allowance
from streamer_plugin_ratelimit.limit import Limit


class Lack:
    """One question to the store.

    Args:
        limit: what is counted.
        who: whose count it is.
        allowance: what the process has of it.

    Attributes:
        amount: how much to ask for: one to pass, and the rest to lease.
    """

    def __init__(self, limit: Limit, who: tuple[str, ...], allowance: Allowance) -> None:
        self.limit = limit
        self.allowance = allowance
        self.amount = 1
        self.key = limit.key(who)
        self._leads = False

    def begin(self, now: float) -> None:
        """Ask for a slice, unless another thread does: then for the one that is needed."""
        allowance = self.allowance
        if not allowance.asking:
            self._leads = allowance.asking = True
            self.amount = allowance.wanted(now, self.limit.slice)

    def end(self) -> None:
        """Let another thread ask for a slice."""
        if self._leads:
            self.allowance.asking = False

    def count(self, now: int) -> Count:
        """Give what to count."""
        return self.limit.count(self.key, self.amount, now)

    def fit(self, level: float) -> None:
        """Ask for no more than there is, but for the one that is needed."""
        self.amount = max(1, min(self.amount, int(self.limit.burst - level)))

    def lease(self, now: float) -> None:
        """Take what the store gave."""
        if self._leads:
            self.allowance.lease(self.amount, now)

    def fill(self, level: float, now: float) -> None:
        """Note that there is no room, until half a slice has refilled: not one after the other."""
        wait = self.limit.count(self.key, max(1, self.limit.slice // 2), 0).room_in_ms(level)
        self.allowance.fill(wait or 0, now)
