"""The journeys, walked in this process against DynamoDB's emulator, and what each of them asks.

What the functions ask of DynamoDB is counted as it is asked, and so is what they post to clients by
the management API. Their invocations, and the messages and answers that pass the router, follow
from which functions a journey passes through: the end-to-end tests show that.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from streamer_client.settings import Settings as ClientSettings
from streamer_plugin_dynamodb import deployment
from streamer_plugin_dynamodb.database import connect
from streamer_plugin_dynamodb.store import DynamoStore

from streamer_core import Context, Settings, Streamer, handler, topic
from streamer_core.engine.pulse import Pulse
from streamer_core.handlers import declared
from streamer_core.markers import hookimpl
from streamer_core.model.connection import Connection, Handshake
from streamer_core.model.principal import Principal
from streamer_core.plugins import register
from streamer_core.ports import Delivery, SystemClock
from streamer_core.testing import MemoryTransport
from tests.e2e.aws.costs.meter import MeteredDatabase
from tests.emulators import REGION

UPDATES = 10
CROWD = 100
PINGS = round(3600 / ClientSettings().ping_interval)
"""How many an hour a client sends that nobody tells anything."""

IDLE_HOUR, SWEEP = "an idle hour of a connection", "a sweep of nothing"


@handler("echo")
def echo(payload: dict) -> dict[str, Any]:  # type: ignore[type-arg]  # bound by the bare name
    return payload


@handler("plain", estimated="1m")
def plain() -> str:
    return "done"


@handler("chunky", estimated="1m")
def chunky(ctx: Context) -> str:
    for number in range(UPDATES):
        ctx.emit({"number": number})
        ctx.checkpoint(number)
    return "done"


@handler("shout")
def shout(ctx: Context) -> str:
    ctx.publish("room:all", "hello")
    return "done"


@topic("room:{name}")
def may_join(principal: Any, name: str) -> bool:
    return True


class _Still(Pulse):
    """A pulse that does not beat: what is counted must not depend on how quick a machine is."""

    def _start(self) -> None:
        pass


class _CountedTransport(MemoryTransport):
    """Counts what would be calls of the management API."""

    posts = 0

    def send(self, connection_id: str, data: bytes) -> Delivery:
        self.posts += 1
        return super().send(connection_id, data)


class _Anybody:
    @hookimpl
    def streamer_authenticate(self, handshake: Handshake) -> Principal:
        return Principal(user="ann", tenant="acme")


Used = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Journey:
    """What one journey asks.

    Args:
        name: for people.
        calls: of DynamoDB, by operation.
        posts: calls of the management API.
        used: by what AWS counts: units, messages, invocations, connection minutes.
    """

    name: str
    calls: Counter[str] = field(default_factory=Counter)
    posts: int = 0
    used: Used = field(default_factory=dict)

    @property
    def messages(self) -> int:
        """Give how many messages clients sent and got."""
        return int(self.used.get("message", 0))


class Walker:
    """An application on metered tables."""

    def __init__(self, address: str) -> None:
        connection = connect(region=REGION, endpoint=address)
        self.db = MeteredDatabase("cost-", connection)
        deployment.create(self.db)
        self.transport = _CountedTransport()
        self.app = Streamer(
            Settings.of({"store": "dynamodb", "transport": "memory", "lanes": ["normal", "low"]}),
            store=DynamoStore(self.db, SystemClock()),
            transport=self.transport,
            found=[],
            load_handlers=False,
        )
        self.app.runtime.pulse = _Still(self.app.clock)
        register(self.app.hooks, "anybody", _Anybody(), "the costs")
        for source in (echo, plain, chunky, shout, may_join):
            for spec in declared(source):
                self.app.registry.add(spec)

    def walk(self) -> list[Journey]:
        """Walk all journeys."""
        connection = self._connected()
        # What a first time makes, such as a tenant's turn, is there from then on.
        self._worked(connection, "plain", "first")
        return [
            self._counted("a connection that comes and goes", self._come_and_go),
            self._counted(IDLE_HOUR, lambda: self._idle_hour(connection)),
            self._counted("a message answered at once", lambda: self._short(connection)),
            self._counted("a queued request", lambda: self._worked(connection, "plain", "r-1")),
            self._counted(
                f"a queued request with {UPDATES} chunks, each with a checkpoint",
                lambda: self._worked(connection, "chunky", "r-2"),
            ),
            self._counted(f"a topic told to {CROWD}", lambda: self._fan_out(connection)),
            self._counted(SWEEP, self._swept),
        ]

    def close(self) -> None:
        """End the application and delete the tables."""
        self.app.close()
        deployment.delete(self.db)

    def _counted(self, name: str, go: Callable[[], Counter[str]]) -> Journey:
        with self._metered() as journey:
            used = go()
        calls, units = journey
        posts = self.transport.posts
        used["message"] += posts
        return Journey(name=name, calls=calls, posts=posts, used={**units, **used})

    @contextmanager
    def _metered(self) -> Iterator[tuple[Counter[str], dict[str, float]]]:
        calls, units = Counter[str](), {"read unit": 0.0, "write unit": 0.0}
        self.db.calls, self.db.units = calls, units
        self.transport.posts = 0
        yield calls, units
        self.db.calls, self.db.units = Counter(), dict.fromkeys(units, 0.0)

    def _connected(self) -> Connection:
        handshake = Handshake(connection_id=self.transport.connect(), token="any")
        return self.app.connect(handshake)

    def _come_and_go(self) -> Counter[str]:
        self.app.disconnect(self._connected().id, "closed")
        return Counter({"invocation": 2})

    def _received(self, connection: Connection, action: str, name: str, **payload: Any) -> None:
        # The router reads the connection for each message.
        kept = self.app.store.get_connection(connection.id)
        assert kept is not None
        body = {"id": name, "action": action, "payload": payload}
        received = self.app.receive(kept, json.dumps(body).encode())
        assert b'"error"' not in received.frames[0], received.frames

    def _idle_hour(self, connection: Connection) -> Counter[str]:
        """API Gateway closes a connection that is silent for ten minutes: so clients ping."""
        for number in range(PINGS):
            self._received(connection, "streamer.ping", f"ping-{number}")
        return Counter({"connection minute": 60, "message": 2 * PINGS, "invocation": PINGS})

    def _short(self, connection: Connection) -> Counter[str]:
        self._received(connection, "echo", "short")
        return Counter({"message": 2, "invocation": 1})

    def _worked(self, connection: Connection, action: str, name: str) -> Counter[str]:
        inbox = self.transport.inbox(connection.id)
        inbox.clear()
        self._received(connection, action, name)
        assert self.app.work()
        assert inbox[-1]["type"] == "complete"
        # Sent and acknowledged; the router, the processor and the worker.
        return Counter({"message": 2, "invocation": 3})

    def _fan_out(self, connection: Connection) -> Counter[str]:
        crowd = [self._connected() for _ in range(CROWD)]
        for one in crowd:
            self._received(one, "streamer.subscribe", f"s-{one.id}", topic="room:all")
        self.db.calls.clear()
        self.db.units.update({"read unit": 0.0, "write unit": 0.0})
        self.transport.posts = 0
        self._received(connection, "shout", "loud")
        told = [len(self.transport.inbox(one.id)) for one in crowd]
        assert told == [1] * CROWD
        return Counter({"message": 2, "invocation": 1})

    def _swept(self) -> Counter[str]:
        self.app.sweep()
        return Counter({"invocation": 1})
