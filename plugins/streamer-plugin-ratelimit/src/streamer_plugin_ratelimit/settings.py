"""`[plugins.ratelimit]`."""

import re
from collections.abc import Iterator
from dataclasses import field

from streamer_core.records import record
from streamer_core.sections import Ms

CONNECT, MESSAGE = "connect", "message"
PARTS = ("tenant", "user", "address", "connection", "action")
"""What a limit may tell clients apart by, in the order in which a counter's key names them."""

_NAME = re.compile(r"[a-z0-9_.-]{1,64}")
_RATES = "'100/s', '5/min', '1000/h' or '10/d'"
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|min|h|d)")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_MOST = 1_000_000_000
_LONGEST_S = 10 * 366 * 86_400
"""How long a burst may take to come back: a store must hold the time of its end, in ms."""

_ACTIONS = re.compile(r"[A-Za-z0-9_.:-]*\*?")
_ONLY_OF_MESSAGES = frozenset({"connection", "action"})


@record
class LimitSettings:
    """`[[plugins.ratelimit.limits]]`.

    Args:
        name: told in metrics and by `streamer ratelimit`, and part of the counters' keys.
        rate: how many in which time: `100/s`, `5/min`, `1000/h`, `10/d`.
        of: `message` or `connect`.
        by: who has a count of their own: `connection`, `user`, `tenant`, `address`, `action`, or
            several of them together; empty: all share one.
        burst: how many at once after a quiet time; left out: the number in `rate`.
        actions: of which actions' messages; `report.*` is all that begin so; empty: of all but
            `streamer.ping`.
        tier: of whose; left out: everybody's.
    """

    name: str
    rate: str
    of: str = MESSAGE
    by: tuple[str, ...] = ("user",)
    burst: int | None = None
    actions: tuple[str, ...] = ()
    tier: str | None = None

    def __post_init__(self) -> None:
        for wrong in self._wrong():
            raise ValueError(f"limit {self.name!r:.80}: {wrong}")

    @property
    def number(self) -> float:
        """How many `rate` names."""
        return _parsed(self.rate)[0]

    @property
    def per_s(self) -> float:
        """How many a second."""
        number, seconds = _parsed(self.rate)
        return number / seconds

    def _wrong(self) -> Iterator[str]:
        if not _NAME.fullmatch(self.name):
            yield "name: write up to 64 of a-z 0-9 _ . -"
        if not 0 < self.number <= _MOST:
            yield f"rate {self.rate!r:.80}: write how many in which time, as in {_RATES}"
        if self.burst is not None and not 1 <= self.burst <= _MOST:
            yield f"burst: must be at least 1, and at most {_MOST:,}"
        if (self.burst or 1) / self.per_s > _LONGEST_S:
            yield "rate and burst: a burst that is used up must be back within ten years"
        if self.of not in {CONNECT, MESSAGE}:
            yield f"of {self.of!r:.80}: write 'message' or 'connect'"
        for part in set(self.by) - set(PARTS):
            yield f"by {part!r:.80}: write some of {', '.join(map(repr, sorted(PARTS)))}"
        if self.of == CONNECT and (self.actions or not _ONLY_OF_MESSAGES.isdisjoint(self.by)):
            yield "who connects has no action yet, and each connection is new: leave them out"
        for one in self.actions:
            if not one or not _ACTIONS.fullmatch(one):
                yield f"actions {one!r:.80}: write an action, or its beginning and '*'"


def _parsed(rate: str) -> tuple[float, int]:
    """Give how many in how many seconds; nothing where it cannot be read."""
    match = _RATE.fullmatch(rate)
    return (float(match[1]), _SECONDS[match[2]]) if match else (0, 1)


@record
class TierSettings:
    """`[plugins.ratelimit.tiers]`: which tier a client has. The first of these that says so counts.

    Args:
        tenants: the tier of all users of a tenant.
        claim: the claim of the token whose text is the tier; `[streamer] keep_claims` names it too.
        scopes: the tier of those who have a scope.
        default: everybody else's.
    """

    tenants: dict[str, str] = field(default_factory=dict)
    claim: str | None = None
    scopes: dict[str, str] = field(default_factory=dict)
    default: str | None = None

    @property
    def names(self) -> frozenset[str]:
        """The tiers that are named here."""
        named = {*self.tenants.values(), *self.scopes.values()}
        return frozenset(named if self.default is None else {*named, self.default})


@record
class RateLimitSettings:
    """`[plugins.ratelimit]`.

    Args:
        limits: all that hold; a message that several are about must have room in each.
        tiers: who has which tier.
        on_store_failure: `allow` or `refuse` what cannot be counted.
        close_after: how many refused messages within `close_within` close a connection; 0: never.
        close_within: see there.
    """

    limits: tuple[LimitSettings, ...] = ()
    tiers: TierSettings = field(default_factory=TierSettings)
    on_store_failure: str = "allow"
    close_after: int = 100
    close_within: Ms = 60_000

    def __post_init__(self) -> None:
        if self.on_store_failure not in {"allow", "refuse"}:
            raise ValueError("on_store_failure: write 'allow' or 'refuse'")
        if self.close_after < 0:
            raise ValueError("close_after: must be at least 1, or 0 for never")
        if self.close_within <= 0:
            raise ValueError("close_within: must be more than nothing")
        names = [limit.name for limit in self.limits]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"limits: two are named {twice[0]!r}; give each a name of its own")
        for limit in self.limits:
            self._check_tier(limit)

    def _check_tier(self, limit: LimitSettings) -> None:
        named = self.tiers.names
        if limit.tier is None or self.tiers.claim is not None or limit.tier in named:
            return
        raise ValueError(
            f"limit {limit.name!r}: tier {limit.tier!r:.80} is nobody's; [plugins.ratelimit.tiers] "
            f"gives {', '.join(map(repr, sorted(named))) or 'none'}"
        )
