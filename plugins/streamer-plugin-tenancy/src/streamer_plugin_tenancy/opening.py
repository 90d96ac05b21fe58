"""From settings to the stores of tenants that have their own."""

from collections.abc import Callable, Mapping
from functools import partial

from streamer_core.app import Streamer
from streamer_core.errors import ConfigurationError
from streamer_core.model.tables import Credentials, OwnTables
from streamer_core.ports import Store
from streamer_plugin_tenancy.everywhere import TenantStores
from streamer_plugin_tenancy.foreign import ForeignStore
from streamer_plugin_tenancy.roles import TAG, TenantRoles
from streamer_plugin_tenancy.settings import TablesSettings


def open_tables(app: Streamer, shared: Store, tables: Mapping[str, TablesSettings]) -> TenantStores:
    """Open the stores of tenants of their own, beside the shared one; no call is made yet.

    Raises:
        ConfigurationError: one cannot be opened; the text names the tenant.
    """
    own: dict[str, Store] = {}
    try:
        for tenant, given in tables.items():
            store = app.open_tenant_store(_tables_of(tenant, given))
            own[tenant] = ForeignStore(store, tenant) if given.role else store  # type: ignore[abstract]
    except BaseException:
        for store in own.values():
            store.close()
        raise
    return TenantStores(shared, own)  # type: ignore[abstract] # see WrappedStore


def _tables_of(tenant: str, given: TablesSettings) -> OwnTables:
    return OwnTables(
        tenant=tenant,
        prefix=given.prefix,
        region=given.region,
        credentials=_credentials(tenant, given),
    )


def _credentials(tenant: str, given: TablesSettings) -> Callable[[], Credentials] | None:
    if given.role is None:
        return None
    if not TAG.fullmatch(tenant):
        raise ConfigurationError(
            f"[plugins.tenancy.tables]: no role can be assumed in the name {tenant!r}: it is to be "
            f"the tag of a session"
        )
    roles = TenantRoles(given.role, external_id=given.external_id)
    return partial(roles.assume, tenant)
