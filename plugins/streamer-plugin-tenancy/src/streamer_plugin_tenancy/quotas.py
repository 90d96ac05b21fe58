"""Quotas as counts: taken by the write that lets something in, settled by the one that ends it.

A counter's key begins with its quota's name, by which a client is told which one is used up.
"""

from collections.abc import Mapping

from streamer_core.model.counter import Count
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.ids import tenant_key
from streamer_core.model.message import Message
from streamer_core.ports import Clock

DAY_MS = 86_400_000
_LEAST_SECONDS = 1.0
_MARGIN_MS = 60_000
"""How long the seconds of a day outlive it: by a clock that is ahead, what began in it ends later,
and would begin it anew for those whose clocks are behind."""

OF_ALL = frozenset(("requests_a_day", "execution_seconds_a_day"))
"""Those that requests count in which are not stored, too."""

Limits = Mapping[str, float | None]
"""Quota to limit; one that is None, or not there, is no limit."""


def of_connection(tenant: str, limits: Limits) -> list[Count]:
    """Give what is counted while a connection is open."""
    return _while_it_lasts("connections", tenant, 1, limits)


def of_request(
    tenant: str,
    limits: Limits,
    clock: Clock,
    *,
    request: Message,
    handler: HandlerSpec,
    stored: bool,
) -> list[Count]:
    """Give what is counted for a request.

    Seconds are taken as the handler estimates them, one at least, and at its end put right; so no
    more is begun than the limit has room for.
    """
    counts: list[Count] = []
    if stored:
        counts += _while_it_lasts("requests_in_flight", tenant, 1, limits)
        counts += _while_it_lasts("stored_bytes", tenant, request.size, limits)
    counts += _of_the_day("requests_a_day", tenant, 1, limits, clock)
    if limits.get("execution_seconds_a_day") is None:
        return counts
    estimated = max(_LEAST_SECONDS, handler.estimated_ms / 1000)
    quota = "execution_seconds_a_day"
    for taken in _of_the_day(quota, tenant, estimated, limits, clock, margin_ms=_MARGIN_MS):
        given_back = Count(key=taken.key, amount=-estimated, expires_at=taken.expires_at)
        spent = Count(key=taken.key, per="second", expires_at=taken.expires_at)
        counts += [taken, given_back, spent]
    return counts


def levels_asked(tenant: str, clock: Clock) -> list[Count]:
    """Give counts that add nothing, one for each quota, to read the levels by."""
    today = str(_today(clock))
    return [
        Count(key=tenant_key("connections", tenant), amount=0),
        Count(key=tenant_key("requests_in_flight", tenant), amount=0),
        Count(key=tenant_key("requests_a_day", tenant, today), amount=0),
        Count(key=tenant_key("stored_bytes", tenant), amount=0),
        Count(key=tenant_key("execution_seconds_a_day", tenant, today), amount=0),
    ]


def _while_it_lasts(quota: str, tenant: str, amount: float, limits: Limits) -> list[Count]:
    limit = limits.get(quota)
    if limit is None:
        return []
    key = tenant_key(quota, tenant)
    return [Count(key=key, amount=amount, limit=limit), Count(key=key, amount=-amount)]


def _of_the_day(
    quota: str,
    tenant: str,
    amount: float,
    limits: Limits,
    clock: Clock,
    *,
    margin_ms: int = 0,
) -> list[Count]:
    limit = limits.get(quota)
    if limit is None:
        return []
    today = _today(clock)
    key, end = tenant_key(quota, tenant, str(today)), (today + 1) * DAY_MS + margin_ms
    return [Count(key=key, amount=amount, limit=limit, expires_at=end)]


def _today(clock: Clock) -> int:
    """Give the day in UTC, counted from 1970."""
    return clock.now() // DAY_MS
