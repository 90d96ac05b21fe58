"""A process that keeps circuits, on whatever store and clock, without a gateway."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from streamer_plugin_circuitbreaker import CircuitBreakerPlugin
from streamer_plugin_circuitbreaker.circuit import Circuit
from streamer_plugin_circuitbreaker.guard import Guard

from streamer_core import Settings, Streamer
from streamer_core.errors import CircuitOpen
from streamer_core.markers import hookimpl
from streamer_core.plugins import register
from streamer_core.ports import Clock, Store
from streamer_core.sections import validate_section
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport

FAR_MS = 86_400_000


class Observer:
    """Keeps the changes and measurements that it was told of."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str, str]] = []
        self.metrics: list[tuple[str, dict[str, str]]] = []
        self.states: list[tuple[str, float]] = []

    @hookimpl
    def streamer_on_circuit_change(self, name: str, before: str, after: str) -> None:
        self.changes.append((name, before, after))

    @hookimpl
    def streamer_on_metric(self, metric: Any) -> None:
        if metric.unit == "gauge":
            assert metric.name == "circuit.state"
            self.states.append((metric.tags["circuit"], metric.value))
        else:
            self.metrics.append((metric.name, dict(metric.tags)))


def _depend(*, fails: bool) -> None:
    if fails:
        raise OSError("down")


class Process:
    """What one process has: an application, the plugin in it, an observer."""

    def __init__(self, store: Store, clock: Clock, section: dict[str, Any]) -> None:
        self.clock = clock
        self.store = store
        self.app = Streamer(
            Settings.of({"store": "given", "transport": "given"}),
            store=store,
            transport=MemoryTransport(),
            clock=clock,
            found=[],
            load_handlers=False,
        )
        rules = validate_section(CircuitBreakerPlugin.Settings, section, "[here]")
        self.plugin = CircuitBreakerPlugin(rules, self.app)
        self.seen = Observer()
        register(self.app.hooks, "circuitbreaker", self.plugin, "a test")
        register(self.app.hooks, "observer", self.seen, "a test")

    def circuit(self, name: str = "ledger") -> Circuit:
        return self.plugin.circuits.of_dependency(name)

    def guard(self, name: str = "ledger") -> Guard:
        return self.circuit(name).guard(self.clock.now() + FAR_MS)

    def use(self, *, fails: bool = False, name: str = "ledger") -> bool:
        """Use a dependency once; False where its circuit let nothing through."""
        try:
            with self.guard(name):
                _depend(fails=fails)
        except CircuitOpen:
            return False
        except OSError:
            pass
        return True

    def uses(self, times: int, *, fails: bool = False) -> int:
        """Use it often; gives how many were let through."""
        return sum(self.use(fails=fails) for _ in range(times))

    def row(self, name: str = "ledger") -> dict[str, str]:
        (row,) = [one for one in self.plugin.circuits.rows() if one["circuit"] == name]
        return row

    @property
    def phase(self) -> str:
        return self.row()["state"]


class Processes:
    """Several processes that share a store in memory and a clock."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        self._opened = ExitStack()

    def start(self, **section: Any) -> Process:
        process = Process(MemoryStore(self.clock, self.store.data), self.clock, section)
        self._opened.callback(process.app.close)
        return process

    of = staticmethod(Process)

    def close(self) -> None:
        self._opened.close()


@pytest.fixture
def processes() -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.close()
