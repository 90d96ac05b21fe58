"""A store made of several keeps every rule of the port, wherever a tenant's things lie."""

import pytest
from streamer_plugin_tenancy.everywhere import TenantStores
from streamer_plugin_tenancy.isolation import IsolatedStore

from streamer_core.ports import Clock, Store
from streamer_core.testing import ManualClock, MemoryStore
from streamer_core.testing.contracts import StoreContract
from streamer_core.testing.contracts.store.base import OpenStore


class TestTenantStores(StoreContract):
    """`acme`, whose most things in the contract are, has tables of its own."""

    durable = True
    multi_process = True

    @pytest.fixture
    def open_store(self) -> OpenStore:
        shared, own = MemoryStore(ManualClock()), MemoryStore(ManualClock())

        def open_all(clock: Clock) -> Store:
            stores = TenantStores(  # type: ignore[abstract]
                MemoryStore(clock, shared.data), {"acme": MemoryStore(clock, own.data)}
            )
            return IsolatedStore(stores)

        return open_all
