"""The core's in-memory store and transport keep the rules that plugins must keep."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import settings

from streamer_core.ports import Store
from streamer_core.ports.clock import Clock
from streamer_core.testing.contracts import StoreContract, TransportContract
from streamer_core.testing.contracts.machine import StoreMachine
from streamer_core.testing.store import MemoryData, MemoryStore
from streamer_core.testing.transport import MemoryTransport, Received


class TestMemoryStore(StoreContract):
    durable = True
    multi_process = True
    max_item_bytes = 100_000

    @pytest.fixture
    def open_store(self) -> Callable[[Clock], Store]:
        data = MemoryData()
        return lambda clock: MemoryStore(clock, data, max_item_bytes=self.max_item_bytes)


class MemoryMachine(StoreMachine):
    def open_store(self, clock: Clock) -> Store:
        return MemoryStore(clock)


TestMemoryMachine = pytest.mark.uncovered(MemoryMachine.TestCase)
TestMemoryMachine.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


class TestMemoryTransport(TransportContract):
    can_be_busy = True

    @pytest.fixture
    def transport(self) -> MemoryTransport:
        return MemoryTransport()

    @pytest.fixture
    def connect(self, transport: MemoryTransport) -> Callable[[], str]:
        return transport.connect

    @pytest.fixture
    def received(self, transport: MemoryTransport) -> Callable[[str, int], Sequence[Received]]:
        return lambda connection_id, _: list(transport.inbox(connection_id))

    @pytest.fixture
    def hang_up(self, transport: MemoryTransport) -> Callable[[str], None]:
        return transport.disconnect

    @pytest.fixture
    def stall(self, transport: MemoryTransport) -> Callable[[str], None]:
        return transport.busy_next
