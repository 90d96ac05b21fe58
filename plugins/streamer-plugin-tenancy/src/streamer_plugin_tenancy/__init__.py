"""Tenants kept apart."""

from typing import Any

from streamer_core.errors import Forbidden
from streamer_core.markers import hookimpl
from streamer_core.model.manifest import Manifest
from streamer_core.model.principal import NO_TENANT, Principal
from streamer_core.ports import Store

__all__ = ["TenancyPlugin"]


class TenancyPlugin:
    """Keeps tenants apart."""

    manifest = Manifest(before=("ratelimit",))

    def __init__(self, settings: None, app: Any) -> None: ...

    @hookimpl
    def streamer_wrap_store(self, store: Store) -> Store:
        """Refuse, within a tenant's work, the keys of all others."""
        from streamer_plugin_tenancy.isolation import IsolatedStore  # noqa: PLC0415

        return IsolatedStore(store)

    @hookimpl
    def streamer_limit(self, principal: Principal) -> None:
        """Refuse whoever has no tenant."""
        if principal.tenant in {"", NO_TENANT}:
            raise Forbidden("The token names no tenant")
