"""What is kept of a tenant: whether it is suspended, and its own quotas."""

import re
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import Any

from streamer_core.errors import Conflict, StoreError
from streamer_core.model.ids import tenant_key, tenant_of
from streamer_core.model.principal import NO_TENANT
from streamer_core.ports import Clock, Store
from streamer_core.records import record
from streamer_core.scope import TenantScope

KIND = "tenancy"
NOBODY = frozenset({"", NO_TENANT})
"""Names that no tenant can have."""

QUOTAS = (
    *("connections", "requests_in_flight", "requests_a_day"),
    *("stored_bytes", "execution_seconds_a_day"),
)
MOST = 10**15
"""The greatest limit: counters are floats, which count one by one up to there."""

TENANTS_SCOPE = "streamer:tenants"
"""The scope of an operator of tenants."""

CLOSE = "tenancy.close"
"""The action that closes a suspended tenant's connections."""

_DIGITS = re.compile(r"[0-9]{1,20}")
_MOST_CACHED = 10_000
_MOST_TRIES = 20


@record
class Tenant:
    """A tenant, as its operator has set it.

    Args:
        name: as tokens name it.
        created_at: Unix ms when an operator made it; None: nobody has, and it may work all the
            same.
        suspended_at: Unix ms since when it may not work; None: it may.
        quotas: those of its own, by name; None: no limit. The others are as in the settings.
    """

    name: str
    created_at: int | None = None
    suspended_at: int | None = None
    quotas: Mapping[str, float | None] = field(default_factory=dict)


class Tenants:
    """The tenants' records, each read at most once in each `cache_s` by this process.

    Args:
        store, clock: where the records are, and what time it is.
        cache_s: for how long what was read is believed.
    """

    def __init__(self, store: Store, clock: Clock, cache_s: float) -> None:
        self._store = store
        self._clock = clock
        self._cache_s = cache_s
        self._cached: dict[str, tuple[float, Tenant]] = {}

    def get(self, name: str) -> Tenant:
        """Give a tenant as it was within the last `cache_s`.

        Where the store cannot tell, what it last told still counts.

        Raises:
            StoreError: it has told nothing yet.
        """
        now = self._clock.monotonic()
        cached = self._cached.get(name)
        if cached is not None and now < cached[0]:
            return cached[1]
        try:
            tenant, _ = self.read(name)
        except StoreError:
            if cached is None:
                raise
            tenant = cached[1]
        if len(self._cached) >= _MOST_CACHED:
            self._cached.clear()
        self._cached[name] = now + self._cache_s, tenant
        return tenant

    def read(self, name: str) -> tuple[Tenant, int]:
        """Give a tenant as it is, and its record's version; 0: there is no record."""
        with TenantScope(None):
            found = self._store.get_value(_key(name))
        return (_tenant(name, found.data), found.version) if found else (Tenant(name=name), 0)

    def all(self, limit: int = 10_000) -> list[Tenant]:
        """Give the tenants that have a record, by name."""
        with TenantScope(None):
            found = self._store.values(f"{KIND}/", limit)
        named = [(tenant_of(key), value.data) for key, value in found.items()]
        return sorted(
            (_tenant(name, data) for name, data in named if name is not None),
            key=lambda tenant: tenant.name,
        )

    def change(self, name: str, change: Callable[[Tenant], Tenant]) -> Tenant:
        """Write what becomes of a tenant; made again where somebody was faster.

        Raises:
            Conflict: others were, until patience was over.
            ValueError: nobody can be named so.
        """
        if name in NOBODY:
            raise ValueError(f"no tenant can be named {name!r}")
        for _ in range(_MOST_TRIES):
            before, version = self.read(name)
            after = change(before)
            try:
                with TenantScope(None):
                    self._store.put_value(_key(name), _plain(after), version=version)
            except Conflict:
                continue
            self._cached.pop(name, None)
            return after
        raise Conflict(f"tenant {name!r:.100} was changed by others until patience was over")


def created(tenant: Tenant, now: int) -> Tenant:
    """Give a tenant as made now."""
    return replace(tenant, created_at=now)


def suspended(tenant: Tenant, now: int) -> Tenant:
    """Give a tenant that may not work; suspended again, the first time stays."""
    return replace(tenant, suspended_at=tenant.suspended_at or now)


def resumed(tenant: Tenant) -> Tenant:
    """Give a tenant that may work again."""
    return replace(tenant, suspended_at=None)


def limited(tenant: Tenant, changes: Mapping[str, Any]) -> Tenant:
    """Give a tenant with other quotas.

    Args:
        tenant: as it is.
        changes: quota to limit, `"none"` for no limit, `"default"` for that of the settings.

    Raises:
        ValueError: there is no such quota, or the limit is none.
    """
    quotas = dict(tenant.quotas)
    for name, limit in changes.items():
        if name not in QUOTAS:
            raise ValueError(f"there is no quota {name!r:.40}; there are {', '.join(QUOTAS)}")
        if limit == "default":
            quotas.pop(name, None)
        else:
            quotas[name] = None if limit == "none" else _limit(name, limit)
    return replace(tenant, quotas=quotas)


def _limit(name: str, limit: Any) -> float:
    if isinstance(limit, str) and _DIGITS.fullmatch(limit):
        limit = int(limit)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit <= MOST:
        raise ValueError(f"{name}: write a whole number from 0 to {MOST:,}, none or default")
    return limit


def _key(name: str) -> str:
    return tenant_key(KIND, name)


def _plain(tenant: Tenant) -> dict[str, Any]:
    return {
        "created_at": tenant.created_at,
        "suspended_at": tenant.suspended_at,
        "quotas": dict(tenant.quotas),
    }


def _tenant(name: str, data: Mapping[str, Any]) -> Tenant:
    return Tenant(
        name=name,
        created_at=data.get("created_at"),
        suspended_at=data.get("suspended_at"),
        quotas={key: limit for key, limit in data["quotas"].items() if key in QUOTAS},
    )
