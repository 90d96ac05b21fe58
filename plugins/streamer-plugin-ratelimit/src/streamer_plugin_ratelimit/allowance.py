"""What a process may let pass without asking the store: a slice of a limit, leased for a moment."""

HOLD_S = 1.0
"""How long a slice is good. What is left of it then is given up: it refills in the store anyway."""

_BELIEVED_S = 1.0
"""How long the store's no is believed at most: `streamer ratelimit reset` may undo it."""

_NEVER = float("-inf")


class Allowance:
    """One client's share of one limit. Times are the clock's monotonic seconds.

    It grows with need: who comes now and then gets leave for one message; who has used up a slice
    within half its time gets the double, up to the limit's `slice`. So little is leased that is not
    about to be used, and a limit does not seep away in the processes that it is spread over.

    Attributes:
        left: what may pass until `until`.
        number: of the slice that it is left of.
        asking: a thread is asking the store for a slice.
        full_until: the store has said no, and is not asked again before.
    """

    __slots__ = (
        *("_leased", "_leased_at", "_room_at"),
        *("asking", "full_until", "left", "number", "until"),
    )

    def __init__(self) -> None:
        self.left = self.number = 0
        self.until = self.full_until = _NEVER
        self.asking = False
        self._leased = 1
        self._leased_at = self._room_at = _NEVER

    def take(self, now: float) -> bool:
        """Let one pass, where there is leave for it."""
        if not self.left or now >= self.until:
            return False
        self.left -= 1
        return True

    def give_back(self, number: int) -> None:
        """Take one back that did not pass after all, unless its slice is over."""
        if number == self.number:
            self.left += 1

    def wanted(self, now: float, most: int) -> int:
        """Give how much to ask the store for."""
        if now >= self.until:
            return 1
        quick = now - self._leased_at < HOLD_S / 2
        return min(most, self._leased * 2 if quick else self._leased)

    def lease(self, amount: int, now: float) -> None:
        """Take what the store gave, but for the one that it was asked for."""
        self.left = amount - 1
        self.number += 1
        self._leased, self._leased_at = amount, now
        self.until = now + HOLD_S

    def fill(self, wait_ms: int, now: float) -> None:
        """Note that there is no room for so long."""
        self._room_at = now + wait_ms / 1000
        self.full_until = min(self._room_at, now + _BELIEVED_S)

    def wait_ms(self, now: float) -> int:
        """Give after how many milliseconds there will be room; rather one too many."""
        return int((self._room_at - now) * 1000) + 1
