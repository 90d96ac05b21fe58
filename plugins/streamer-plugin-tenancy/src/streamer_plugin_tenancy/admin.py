"""What an operator may do with tenants, whoever asks: an action or a command.

All of it works for no tenant in particular: whoever calls it has seen to it that he may.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from streamer_core.errors import Conflict
from streamer_core.model.ids import ref_of
from streamer_core.model.message import Priority
from streamer_core.model.request import Request
from streamer_core.ports import Clock, Page, Query, Store
from streamer_core.records import record
from streamer_core.scope import TenantScope
from streamer_plugin_tenancy import quotas, tenants
from streamer_plugin_tenancy.tenants import CLOSE, QUOTAS, Tenant, Tenants
from streamer_plugin_tenancy.usage import WHAT, Usage, Used

if TYPE_CHECKING:
    from streamer_core.app import Streamer
    from streamer_plugin_tenancy.plugin import TenancyPlugin

_PAGE = 100
_GIGABYTE = 1e9
_OPENING_MS = 60_000  # API Gateway gives 29 s to open a connection, and an index may lag


@record
class Prices:
    """What a request, a second of it, a message of it, a gigabyte of it costs."""

    request: float = 0.0
    second: float = 0.0
    message: float = 0.0
    gigabyte: float = 0.0

    def cost(self, used: Used) -> float:
        """Estimate what usage costs."""
        return (
            used.total("requests") * self.request
            + used.total("seconds") * self.second
            + used.total("messages") * self.message
            + used.total("bytes") / _GIGABYTE * self.gigabyte
        )


@record
class Admin:
    """An operator's hand on one store.

    Args:
        store, clock: where the tenants are, and what time it is.
        tenants, usage: what is kept of them.
        limits: the settings' quotas, for tenants that have none of their own.
        cache_ms: how late a process may notice a suspension.
        prices: of what they use.
    """

    store: Store
    clock: Clock
    tenants: Tenants
    usage: Usage
    limits: quotas.Limits
    cache_ms: int
    prices: Prices

    def create(self, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Make a tenant's record.

        Raises:
            Conflict: an operator has made it already.
            ValueError: a quota is none, or nobody can be named so.
        """

        def make(tenant: Tenant) -> Tenant:
            if tenant.created_at is not None:
                raise Conflict(f"tenant {name!r:.100} is there already")
            return tenants.created(tenants.limited(tenant, changes), self.clock.now())

        return self._shown(self.tenants.change(name, make))

    def show(self, name: str) -> dict[str, Any]:
        """Show a tenant: its state, its quotas, and how far they are used up."""
        tenant, _ = self.tenants.read(name)
        return self._shown(tenant)

    def all(self) -> list[dict[str, Any]]:
        """Show the tenants that an operator has made, limited or suspended, without levels."""
        return [_facts(one) for one in self.tenants.all()]

    def quota(self, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change a tenant's own quotas; ValueError where one is none, or nobody is named so."""
        return self._shown(self.tenants.change(name, partial(tenants.limited, changes=changes)))

    def suspend(self, name: str) -> dict[str, Any]:
        """Let a tenant work no more, and have its connections closed by a worker.

        Once now, once when no process lets it in any more that had not heard of it, and once when
        whom such a one was letting in by then is stored, also by clocks that differ.
        """
        now = self.clock.now()
        tenant = self.tenants.change(name, partial(tenants.suspended, now=now))
        with TenantScope(None):
            for due_at in (now, now + self.cache_ms, now + self.cache_ms + _OPENING_MS):
                self.store.enqueue(self._closing(name, due_at))
        return self._shown(tenant)

    def resume(self, name: str) -> dict[str, Any]:
        """Let a tenant work again."""
        return self._shown(self.tenants.change(name, tenants.resumed))

    def used(self, name: str, since: int, until: int) -> list[dict[str, Any]]:
        """Give what a tenant used, a row for each action and hour."""
        return [self._row(one) for one in self.usage.read(name, since, until)]

    def page(self, name: str, limit: int, cursor: str | None) -> Page:
        """Give a page of a tenant's stored requests; ValueError where the cursor is none."""
        with TenantScope(None):
            return self.store.query(Query(tenant=name), limit=limit, cursor=cursor)

    def requests(self, name: str) -> Iterator[Request]:
        """Give a tenant's stored requests, newest first."""
        cursor: str | None = None
        while True:
            page = self.page(name, _PAGE, cursor)
            yield from page.items
            if (cursor := page.cursor) is None:
                return

    def _closing(self, name: str, due_at: int) -> Request:
        # A request of the tenant's own: whoever runs it may touch nothing else. No token names its
        # user: that one could cancel it.
        request_id = self.clock.new_id()
        user = f"{CLOSE}/{request_id}"
        return Request(
            ref=ref_of(name, user, request_id),
            id=request_id,
            action=CLOSE,
            tenant=name,
            user=user,
            priority=Priority.HIGH,
            created_at=self.clock.now(),
            due_at=due_at,
        )

    def _shown(self, tenant: Tenant) -> dict[str, Any]:
        with TenantScope(None):
            levels = self.store.count(quotas.levels_asked(tenant.name, self.clock)).levels
        limits = {**self.limits, **tenant.quotas}
        used = zip(QUOTAS, levels, strict=True)
        return _facts(tenant) | {
            "quotas": {name: {"limit": limits.get(name), "used": level} for name, level in used}
        }

    def _row(self, used: Used) -> dict[str, Any]:
        exact = {what: used.stored[what] for what in WHAT}
        gathered = {f"{what}_at_once": used.at_once[what] for what in WHAT}
        return {
            "tenant": used.tenant,
            "hour": used.hour,
            "action": used.action,
            **exact,
            **gathered,
            "estimated_cost": self.prices.cost(used),
        }


def admin_of(plugin: "TenancyPlugin", app: "Streamer") -> Admin:
    """Give an operator's hand on an application's tenants."""
    given = plugin.settings
    prices = Prices(
        request=given.price_request,
        second=given.price_second,
        message=given.price_message,
        gigabyte=given.price_gigabyte,
    )
    return Admin(
        store=app.store,
        clock=app.clock,
        tenants=plugin.tenants,
        usage=plugin.usage,
        limits=plugin.limits,
        cache_ms=given.cache,
        prices=prices,
    )


def _facts(tenant: Tenant) -> dict[str, Any]:
    return {
        "tenant": tenant.name,
        "created_at": tenant.created_at,
        "suspended_at": tenant.suspended_at,
        "own_quotas": dict(tenant.quotas),
    }
