"""The store keeps every rule of the port, and the plugin those of a plugin."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from streamer_plugin_sqlite import SqliteStore

from streamer_core.ports.clock import Clock
from streamer_core.testing.contracts import PluginContract, StoreContract
from streamer_core.testing.contracts.machine import StoreMachine
from streamer_core.testing.contracts.store.base import OpenStore


class TestSqlitePlugin(PluginContract):
    @pytest.fixture
    def plugin_name(self) -> str:
        return "sqlite"


class TestSqliteStore(StoreContract):
    durable = True
    multi_process = True

    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        def opened(clock: Clock) -> SqliteStore:
            return SqliteStore(tmp_path / "streamer.db", clock)

        return opened


class SqliteMachine(StoreMachine):
    def open_store(self, clock: Clock) -> SqliteStore:
        self.directory = tempfile.mkdtemp()
        return SqliteStore(Path(self.directory, "streamer.db"), clock, synchronous="NORMAL")

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.directory)


TestSqliteMachine = pytest.mark.uncovered(SqliteMachine.TestCase)
TestSqliteMachine.settings = settings(max_examples=20, stateful_step_count=40, deadline=None)
