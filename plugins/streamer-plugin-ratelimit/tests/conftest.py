"""An application with limits, on any store and clock, and clients that send to it."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from streamer_core import Streamer, handler
from streamer_core.errors import Refused
from streamer_core.handlers import declared
from streamer_core.markers import hookimpl
from streamer_core.model.call import Metric
from streamer_core.model.connection import Connection, Handshake
from streamer_core.model.message import Message
from streamer_core.model.principal import Principal
from streamer_core.plugins import register
from streamer_core.ports import Clock, Store
from streamer_core.settings import Settings
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport


@handler("report.make")
def make() -> str:
    return "made"


@handler("report.read")
def read() -> str:
    return "read"


@handler("other")
def other() -> str:
    return "other"


class Tokens:
    """Knows whoever shows a principal as JSON."""

    @hookimpl
    def streamer_authenticate(self, handshake: Handshake) -> Principal:
        told = json.loads(handshake.token or "{}")
        scopes = frozenset(told.pop("scopes", ()))
        return Principal(**{"user": "ann", **told}, scopes=scopes)


class Measured:
    def __init__(self) -> None:
        self.metrics: list[Metric] = []

    @hookimpl
    def streamer_on_metric(self, metric: Metric) -> None:
        self.metrics.append(metric)

    def named(self, name: str) -> list[dict[str, str]]:
        return [dict(metric.tags) for metric in self.metrics if metric.name == name]


class Process:
    """One process with the plugin: `send` gives the refusal, or None where it passed."""

    def __init__(self, app: Streamer) -> None:
        self.app = app
        self.measured = Measured()
        for plugin in (Tokens(), self.measured):
            register(app.hooks, type(plugin).__name__, plugin, "a test")
        for source in (make, read, other):
            for spec in declared(source):
                app.registry.add(spec)
        self._clients = 0

    def connect(self, *, address: str | None = "192.0.2.1", **principal: Any) -> Connection:
        self._clients += 1
        name = f"{id(self)}-{self._clients}"
        token = json.dumps(principal)
        return self.app.connect(Handshake(connection_id=name, token=token, address=address))

    def receive(self, connection: Connection, action: str = "other") -> Any:
        return self.app.receive(connection, json.dumps({"action": action}).encode())

    def send(self, connection: Connection, action: str = "other") -> dict[str, Any] | None:
        answer = json.loads(self.receive(connection, action).frames[0])
        return answer["error"] if answer["type"] == "error" else None

    def passed(self, connection: Connection, times: int, action: str = "other") -> int:
        """Send so often; give how many passed."""
        return sum(self.send(connection, action) is None for _ in range(times))

    def allowed(self, times: int) -> int:
        """Ask the plugin alone so often, for one client; give how often it let pass."""
        principal = Principal(user="ann")
        asked = {
            "principal": principal,
            "connection": Connection(id="c-1", principal=principal, address="192.0.2.1"),
            "request": Message(id="r-1", action="other"),
        }
        for n in range(times):
            try:
                self.app.runtime.hook.streamer_limit(**asked)
            except Refused:
                return n
        return times


Start = Callable[..., Process]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def start(clock: ManualClock) -> Iterator[Start]:
    """Start a process with these limits, named `limit-0` and on where they have no name."""
    with ExitStack() as opened:

        def start(
            *limits: dict[str, Any],
            store: Store | None = None,
            on: Clock | None = None,
            keep_claims: Sequence[str] = (),
            **section: Any,
        ) -> Process:
            time = on or clock
            named = [{"name": f"limit-{n}", **one} for n, one in enumerate(limits)]
            app = Streamer.start(
                Settings.of(
                    {"plugins": ["ratelimit"], "keep_claims": list(keep_claims)},
                    {"ratelimit": {"limits": named, **section}},
                ),
                store=store or MemoryStore(time),
                transport=MemoryTransport(),
                clock=time,
                load_handlers=False,
            )
            opened.enter_context(app)
            return Process(app)

        yield start
