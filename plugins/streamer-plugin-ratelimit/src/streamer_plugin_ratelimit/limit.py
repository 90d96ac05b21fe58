"""One limit: what it is about, whom it counts apart, and its counter in the store."""

import hashlib
from collections.abc import Callable, Sequence
from operator import itemgetter

from streamer_core.model.connection import Connection
from streamer_core.model.counter import Count
from streamer_core.model.principal import Principal
from streamer_plugin_ratelimit.allowance import HOLD_S, Allowance
from streamer_plugin_ratelimit.recent import Recent
from streamer_plugin_ratelimit.settings import CONNECT, PARTS, LimitSettings

PREFIX = "ratelimit"
MARGIN_MS = 60_000
"""How long a counter outlives its last drop, for processes whose clocks are behind."""

_SHARES = 8
"""Into how many slices a limit is cut: one for each process is what may be let pass over it."""

_LONGEST = 256  # characters of a key that are still good to read
_PING = "streamer.ping"

Values = tuple[str, str, str, str, str]
"""A value for each of `PARTS`, in their order."""


def values_of(principal: Principal, connection: Connection, action: str | None) -> Values:
    """Give all that clients may be told apart by."""
    user, tenant = principal.user, principal.tenant
    return tenant, user, connection.address or "", connection.id, action or ""


class Limit:
    """A token bucket for each of those that it counts apart.

    Args:
        settings: as they were written.

    Attributes:
        parts: what tells them apart; a user's name counts within its tenant.
        slice: how much a process takes from the store at once, at most.
        who: gives whose count it is, a value for each of `parts`, of all of them.
    """

    def __init__(self, settings: LimitSettings) -> None:
        self.settings = settings
        self.name = settings.name
        self.per_s = settings.per_s
        self.burst = settings.burst or max(1, int(settings.number))
        self.slice = max(1, int(min(self.burst, self.per_s * HOLD_S) / _SHARES))
        self._drained_ms = int(self.burst / self.per_s * 1000)
        by = {"tenant", *settings.by} if "user" in settings.by else set(settings.by)
        self.parts = tuple(part for part in PARTS if part in by)
        self.allowances: Recent[tuple[str, ...], Allowance] = Recent(Allowance)
        self.who = _picking([PARTS.index(part) for part in self.parts])

    def is_about(self, action: str | None) -> bool:
        """Tell whether it limits messages of this action; None: connections."""
        if (self.settings.of == CONNECT) != (action is None):
            return False
        if action is None:
            return True
        if not self.settings.actions:
            return action != _PING
        return any(matches(pattern, action) for pattern in self.settings.actions)

    def key(self, who: tuple[str, ...]) -> str:
        """Name a counter: with the parts' lengths, so that no two share one by moving a character.

        What is long is hashed: DynamoDB's keys have 2,048 bytes. Whatever the limit is named, it
        does not look like what `tenant_key` makes: many tenants may share a counter.
        """
        told = "/".join([f"{len(part)}.{part}" for part in who])
        if len(told) > _LONGEST:
            told = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{PREFIX}.{self.name}/{told}"

    def count(self, key: str, amount: float, now: int) -> Count:
        """Give what to count in the store; a counter may be forgotten once it is empty."""
        return Count(
            key=key,
            amount=amount,
            limit=self.burst,
            refill_per_s=self.per_s,
            expires_at=now + self._drained_ms + MARGIN_MS,
        )


def matches(pattern: str, action: str) -> bool:
    """Tell whether an action is what a pattern names, or begins so."""
    return action.startswith(pattern[:-1]) if pattern.endswith("*") else action == pattern


def _picking(places: Sequence[int]) -> Callable[[Values], tuple[str, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    first = places[0] if places else 0
    return itemgetter(slice(first, first + len(places)))  # of one place it gives no tuple
