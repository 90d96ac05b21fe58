"""The store keeps every rule of the port, and the plugin those of a plugin."""

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from streamer_plugin_dynamodb.database import Database
from streamer_plugin_dynamodb.items import MOST_BYTES
from streamer_plugin_dynamodb.store import DynamoStore

from streamer_core.ports.clock import Clock
from streamer_core.testing.contracts import PluginContract, StoreContract
from streamer_core.testing.contracts.machine import StoreMachine
from streamer_core.testing.contracts.store.base import OpenStore


class TestDynamoPlugin(PluginContract):
    @pytest.fixture
    def plugin_name(self) -> str:
        return "dynamodb"


class TestDynamoStore(StoreContract):
    durable = True
    multi_process = True
    max_item_bytes = MOST_BYTES
    purges = False
    walk_items = 40

    @pytest.fixture(params=range(2))
    def rounds(self) -> None:
        """Repeat a race less often: each takes long, over HTTP."""

    @pytest.fixture
    def open_store(self, database: Database) -> OpenStore:
        return lambda clock: DynamoStore(database, clock)


@pytest.mark.uncovered
def test_any_walk_keeps_the_rules(new_database: Callable[[], Database]) -> None:
    class DynamoMachine(StoreMachine):
        def open_store(self, clock: Clock) -> DynamoStore:
            return DynamoStore(new_database(), clock)

    run_state_machine_as_test(
        DynamoMachine, settings=settings(max_examples=2, stateful_step_count=30, deadline=None)
    )
