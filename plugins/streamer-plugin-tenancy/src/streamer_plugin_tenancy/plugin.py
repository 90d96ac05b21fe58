"""The hooks of tenancy."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from streamer_core.errors import Forbidden
from streamer_core.markers import hookimpl
from streamer_core.model.call import Call, Health
from streamer_core.model.counter import Count
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.ids import ref_of
from streamer_core.model.manifest import Manifest
from streamer_core.model.message import Message, Mode
from streamer_core.model.principal import Principal
from streamer_core.ports import Store
from streamer_plugin_tenancy import quotas
from streamer_plugin_tenancy.settings import TenancySettings
from streamer_plugin_tenancy.tenants import CLOSE, NOBODY, QUOTAS, Tenants
from streamer_plugin_tenancy.usage import Usage

if TYPE_CHECKING:
    from streamer_plugin_tenancy.admin import Admin
    from streamer_plugin_tenancy.everywhere import TenantStores

_SUSPENDED_WAIT_MS = 60_000


class TenancyPlugin:
    """Keeps tenants apart, within their quotas, and counts what they use."""

    Settings = TenancySettings
    manifest = Manifest()

    def __init__(self, settings: TenancySettings, app: Any) -> None:
        self.settings = settings
        self._app = app
        self._stores: TenantStores | None = None
        given = {name: getattr(settings, name) for name in QUOTAS}
        self.limits: quotas.Limits = {name: one for name, one in given.items() if one is not None}

    # -- its parts, made once the store is open

    @cached_property
    def tenants(self) -> Tenants:
        """What is kept of tenants."""
        return Tenants(self._app.store, self._app.clock, self.settings.cache / 1000)

    @cached_property
    def usage(self) -> Usage:
        """What they use."""
        given = self.settings
        return Usage(
            self._app.store,
            self._app.clock,
            keep_ms=given.usage_keep,
            flush_s=given.usage_flush / 1000,
        )

    @cached_property
    def admin(self) -> "Admin":
        """An operator's hand on them."""
        from streamer_plugin_tenancy.admin import admin_of  # noqa: PLC0415

        return admin_of(self, self._app)

    # -- hooks

    @hookimpl
    def streamer_wrap_store(self, store: Store) -> Store:
        """Refuse, within a tenant's work, the keys of all others; open the tables of its own."""
        from streamer_plugin_tenancy.isolation import IsolatedStore  # noqa: PLC0415

        if self.settings.tables:
            from streamer_plugin_tenancy.opening import open_tables  # noqa: PLC0415

            store = self._stores = open_tables(self._app, store, self.settings.tables)
        return IsolatedStore(store)

    @hookimpl
    def streamer_register_handlers(self) -> Iterable[Any]:
        """Bring the operator's actions."""
        from streamer_plugin_tenancy.actions import handlers  # noqa: PLC0415

        return handlers(lambda: self.admin, self._app)

    @hookimpl
    def streamer_register_commands(self, cli: Any) -> None:
        """Add `streamer tenants`."""
        from streamer_plugin_tenancy.command import tenants  # noqa: PLC0415 - click is an extra

        cli.add_command(tenants)

    @hookimpl(tryfirst=True)  # nobody counts what is refused here
    def streamer_limit(self, principal: Principal) -> None:
        """Refuse whoever has no tenant, or a suspended one."""
        if principal.tenant in NOBODY:
            raise Forbidden("The token names no tenant")
        if self.tenants.get(principal.tenant).suspended_at is not None:
            raise Forbidden("The tenant is suspended")

    @hookimpl
    def streamer_admit(
        self,
        principal: Principal,
        request: Message | None,
        handler: HandlerSpec | None,
        mode: Mode | None,
    ) -> list[Count] | None:
        """Give what is counted for a connection or a request."""
        name = principal.tenant
        own = self.tenants.get(name).quotas
        limits = {**self.limits, **own} if own else self.limits
        if request is None or handler is None:
            return self._connecting(name, limits)
        stored = mode is Mode.ASYNC or handler.idempotent
        counts: list[Count] = []
        if stored or not quotas.OF_ALL.isdisjoint(limits):
            counts = quotas.of_request(
                name, limits, self._app.clock, request=request, handler=handler, stored=stored
            )
        if stored and self.settings.usage:
            counts += self.usage.counts(name, request)
        return counts

    @hookimpl
    def streamer_around_call(self, call: Call) -> AbstractContextManager[None] | None:
        """Run nobody's request for another; let a suspended tenant's queued work wait; gather what
        is answered at once."""
        if call.request is not None:
            who = call.principal
            if call.ref != ref_of(who.tenant, who.user, call.request_id):
                raise Forbidden("The request is another tenant's")
            self._wait_if_suspended(call)
            return None
        return self.usage.gathering(call) if self.settings.usage else None

    @hookimpl
    def streamer_on_flush(self) -> None:
        """Write what was gathered, where it has waited long enough."""
        self.usage.flush(due_only=True)

    @hookimpl
    def streamer_health(self) -> Health | None:
        """Tell whose own tables have failed a short while ago."""
        failing = self._stores.left_out() if self._stores else ()
        if not failing:
            return None
        detail = f"the tables of {', '.join(failing)} failed"
        return Health(name="tenant tables", ok=True, degraded=True, detail=detail)

    @hookimpl
    def streamer_shutdown(self) -> None:
        """Write what was gathered."""
        self.usage.close()

    def _connecting(self, name: str, limits: quotas.Limits) -> list[Count]:
        from streamer_plugin_tenancy.connections import make_room  # noqa: PLC0415

        counts = quotas.of_connection(name, limits)
        make_room(self._app, name, counts)
        return counts

    def _wait_if_suspended(self, call: Call) -> None:
        from streamer_core.context import KEEP, ContinueLater  # noqa: PLC0415

        suspended = self.tenants.get(call.principal.tenant).suspended_at is not None
        if suspended and call.handler.action != CLOSE:
            raise ContinueLater(KEEP, _SUSPENDED_WAIT_MS)
