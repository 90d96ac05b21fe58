"""The `[plugins.tenancy]` section."""

import re
from dataclasses import field
from itertools import combinations

from streamer_core.records import record
from streamer_core.sections import Ms
from streamer_plugin_tenancy.tenants import MOST, NOBODY, QUOTAS

_PRICES = ("price_request", "price_second", "price_message", "price_gigabyte")
_ROLE = re.compile(r"arn:[a-z-]+:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}")


@record
class TablesSettings:
    """Where a tenant's own tables are: `[plugins.tenancy.tables.<tenant>]`.

    Args:
        prefix: what their names begin with; left out: as those that all share.
        role: the ARN of the role that may use them, in whatever account; left out: that which may
            use the shared ones.
        external_id: what the role's trust asks for.
        region: where they are; left out: where the shared ones are.
    """

    prefix: str | None = None
    role: str | None = None
    external_id: str | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        if self.role is not None and not _ROLE.fullmatch(self.role):
            raise ValueError("role: must be a role's ARN: arn:aws:iam::<account>:role/<name>")
        if self.external_id is not None and self.role is None:
            raise ValueError("external_id: is for a role; set role too")
        if self.prefix is None and self.role is None and self.region is None:
            raise ValueError("set prefix, or role: without, the tables are those that all share")


@record
class TenancySettings:
    """How tenants are limited and what is counted; quotas are those of a tenant without its own.

    Args:
        connections: open at once.
        requests_in_flight: stored and not ended.
        requests_a_day: accepted, each day in UTC.
        stored_bytes: of the messages of requests that are stored and have not ended.
        execution_seconds_a_day: of handlers that run, each day in UTC, by when the request came.
        cache: how long a process believes what it has read of a tenant: how late it may notice
            that one was suspended or resumed, or its quotas changed.
        usage: whether it is counted what tenants use.
        usage_keep: for how long.
        usage_flush: how long what requests answered at once have used may wait to be written.
        price_request, price_second, price_message, price_gigabyte: what the estimated cost is made
            of, in whatever money.
        tables: of tenants that have their own.
    """

    connections: int | None = None
    requests_in_flight: int | None = None
    requests_a_day: int | None = None
    stored_bytes: int | None = None
    execution_seconds_a_day: int | None = None
    cache: Ms = 5_000
    usage: bool = True
    usage_keep: Ms = 400 * 86_400_000
    usage_flush: Ms = 10_000
    price_request: float = 0.0
    price_second: float = 0.0
    price_message: float = 0.0
    price_gigabyte: float = 0.0
    tables: dict[str, TablesSettings] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in QUOTAS:
            limit = getattr(self, name)
            if limit is not None and not 0 <= limit <= MOST:
                raise ValueError(f"{name}: must be from 0 to {MOST:,}; leave it out for no limit")
        for name in _PRICES:
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name}: must be a number from 0")
        if not self.usage_flush:
            raise ValueError("usage_flush: must be more than nothing")
        if self.cache > 60_000:
            raise ValueError("cache: must be at most 60s: so late is a suspension noticed")
        for name in NOBODY & self.tables.keys():
            raise ValueError(f"tables: no tenant can be named {name!r}")
        for one, other in combinations(self.tables.values(), 2):
            if _may_be_the_same(one, other):
                raise ValueError("tables: two tenants have the same; give each a prefix of its own")


def _may_be_the_same(one: TablesSettings, other: TablesSettings) -> bool:
    # Where the shared tables are, which is what no region means, the store alone knows.
    regions = {one.region, other.region}
    return (one.prefix, one.role) == (other.prefix, other.role) and (
        len(regions) == 1 or None in regions
    )
