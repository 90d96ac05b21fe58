"""The parts that every verb of the engine works with."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamer_core.engine.pulse import Pulse
from streamer_core.hooks import Manager, observe, observer_failed
from streamer_core.log import get_logger
from streamer_core.model.call import NO_TAGS, Metric
from streamer_core.ports import Clock, Store, Transport
from streamer_core.registry import Registry
from streamer_core.settings import CoreSettings

_tuple = tuple.__new__


@dataclass(kw_only=True, eq=False, repr=False)
class Runtime:
    """One process's engine.

    Args:
        settings: the `[streamer]` section.
        store, transport, clock: the ports.
        hooks: the plugins, in order.
        registry: handlers and topics.
        worker: this process's name in claims.
        pulse: what happens beside running handlers.
        checks: the last look at the store and each plugin: see `engine/health.py`.
        answer_by: when this process is ended, monotonic seconds, if that is known: a function's.
    """

    settings: CoreSettings
    store: Store
    transport: Transport
    clock: Clock
    hooks: Manager
    registry: Registry
    worker: str
    pulse: Pulse
    draining: threading.Event = field(default_factory=threading.Event)
    checks: dict[str, Any] = field(default_factory=dict)
    answer_by: float | None = None

    @property
    def sync_limit(self) -> int:
        """How long a sync request may take that begins now, ms."""
        if self.answer_by is None:
            return self.settings.sync_limit
        left_ms = int((self.answer_by - self.clock.monotonic()) * 1000)
        return max(1, min(self.settings.sync_limit, left_ms))

    @property
    def hook(self) -> Any:
        """The hooks to call."""
        return self.hooks.calls

    @property
    def log(self) -> Any:
        """A logger."""
        return get_logger()

    def tell(self, hook: str, **arguments: Any) -> None:
        """Tell observers."""
        observe(self.hooks, hook, **arguments)

    def implemented(self, hook: str) -> int:
        """Tell how many plugins implement a hook."""
        return len(self.hooks.implementations(hook))

    @property
    def measuring(self) -> bool:
        """Whether any plugin takes measurements: without one, none need be prepared."""
        return bool(self.hooks.takers)

    def measure(
        self,
        name: str,
        value: float = 1,
        unit: str = "count",
        tags: Mapping[str, str] = NO_TAGS,
        times: int = 1,
    ) -> None:
        """Give a measurement to whoever takes them, as `tell` would in twice the time."""
        for take, implementation in self.hooks.takers:
            try:  # of the tuple: what Metric's own `__new__` does
                take(_tuple(Metric, (name, value, unit, tags, times)))
            except Exception:  # noqa: BLE001 - an observer may fail in any way
                observer_failed(implementation, "streamer_on_metric")
