"""A rig for the engine's tests: an app on memory, a pulse beaten by hand, clients as lists."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from streamer_core import Streamer
from streamer_core.engine.pulse import Pulse, Running
from streamer_core.engine.received import Received
from streamer_core.handlers import declared, handler
from streamer_core.markers import hookimpl
from streamer_core.model.connection import Handshake
from streamer_core.model.ids import ref_of
from streamer_core.model.principal import Principal
from streamer_core.model.request import Request, Status
from streamer_core.plugins import Found, register
from streamer_core.ports import Change
from streamer_core.settings import Settings
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport

Wire = dict[str, Any]


class Tokens:
    """Knows every client whose token reads `tenant/user/scope,scope`; as JSON it says more."""

    @hookimpl
    def streamer_authenticate(self, handshake: Handshake) -> Principal | None:
        if not handshake.token or "/" not in handshake.token:
            return None
        tenant, user, scopes, *expiry = handshake.token.split("/")
        return Principal(
            user=user,
            tenant=tenant,
            scopes=frozenset(scopes.split(",")) - {""},
            expires_at=int(expiry[0]) if expiry else None,
            claims={"raw": handshake.token},
        )


class Observer:
    """Keeps what every observing hook was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def of(self, hook: str) -> list[dict[str, Any]]:
        return [what for name, what in self.told if name == hook]

    @property
    def moves(self) -> list[tuple[Status | None, Status]]:
        return [(what["before"], what["after"]) for what in self.of("transition")]

    @hookimpl
    def streamer_on_connect(self, connection: Any) -> None:
        self.told.append(("connect", {"connection": connection}))

    @hookimpl
    def streamer_on_disconnect(self, connection: Any, reason: str) -> None:
        self.told.append(("disconnect", {"connection": connection, "reason": reason}))

    @hookimpl
    def streamer_on_request(self, request: Any, mode: Any) -> None:
        self.told.append(("request", {"request": request, "mode": mode}))

    @hookimpl
    def streamer_on_transition(self, request: Any, before: Any, after: Any) -> None:
        self.told.append(("transition", {"request": request, "before": before, "after": after}))

    @hookimpl
    def streamer_on_update(self, request: Any, updates: Any) -> None:
        self.told.append(("update", {"request": request, "updates": updates}))

    @hookimpl
    def streamer_on_dead_letter(self, request: Any, failure: Any) -> None:
        self.told.append(("dead_letter", {"request": request, "failure": failure}))

    @hookimpl
    def streamer_on_metric(self, metric: Any) -> None:
        self.told.append(("metric", {"metric": metric}))


class Waker:
    """Takes what is dispatched and scheduled."""

    def __init__(self) -> None:
        self.dispatched: list[Change] = []
        self.scheduled: list[Change] = []

    @hookimpl
    def streamer_dispatch(self, change: Change) -> bool:
        self.dispatched.append(change)
        return True

    @hookimpl
    def streamer_schedule(self, change: Change) -> bool:
        self.scheduled.append(change)
        return True


class HandPulse(Pulse):
    """Beats only when told; errors of a tick are raised, not logged."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.manual = clock

    def add(self, running: Running) -> None:
        self._running[id(running)] = running

    def forget(self) -> None:
        """Look at nothing any more: the process is gone."""
        self._running.clear()

    def beat(self, advance_ms: int = 0) -> None:
        """Let time pass, then look at every running call once."""
        self.manual.advance(advance_ms)
        for running in self.running:
            running.tick(self.manual.monotonic())


class Client:
    """One connection and what came over it."""

    def __init__(self, rig: "Rig", token: str) -> None:
        self.rig = rig
        self.id = rig.transport.connect()
        self.connection = rig.app.connect(Handshake(connection_id=self.id, token=token))
        self.inbox = rig.transport.inbox(self.id)

    @property
    def principal(self) -> Principal:
        return self.connection.principal

    def receive(self, data: bytes) -> Received:
        received = self.rig.app.receive(self.connection, data)
        self.connection = received.connection or self.connection
        return received

    def raw(self, data: bytes) -> list[Wire]:
        """Send a frame as it is; gives the answers."""
        return [json.loads(frame) for frame in self.receive(data).frames]

    def send(
        self, action: str, payload: Mapping[str, Any] | None = None, /, **fields: Any
    ) -> list[Wire]:
        """Send a message; gives the answers. `id` and `options` are fields."""
        body: Wire = {"action": action, **fields}
        if payload is not None:
            body["payload"] = payload
        return self.raw(json.dumps(body).encode())

    def ask(self, action: str, payload: Mapping[str, Any] | None = None, /, **fields: Any) -> Wire:
        """Send a message that has one answer."""
        (answer,) = self.send(action, payload, **fields)
        return answer

    def ref(self, request_id: str) -> str:
        return ref_of(self.principal.tenant, self.principal.user, request_id)

    def of(self, kind: str) -> list[Wire]:
        """Give what was pushed of one type."""
        return [message for message in self.inbox if message["type"] == kind]

    @property
    def kinds(self) -> list[str]:
        return [message["type"] for message in self.inbox]

    def go(self) -> None:
        """Go away without a word: the transport finds out at the next send."""
        self.rig.transport.disconnect(self.id)


class Rig:
    """An app with handlers given as functions, on memory and a clock held by hand.

    Args:
        sources: functions that carry `@handler` or `@topic`.
        plugins: objects with hookimpls.
        beside: another rig, whose store's data, transport and clock are shared: a second process.
        transport: instead of a plain one, where it is not `beside`'s.
        open_store: opens another store than one in memory; two rigs may share its data.
        found: plugins to load as an installation does, before those objects.
        sections: the settings of those.
        stored_by: the setting `[streamer] store`, for plugins that ask.
        core: settings of `[streamer]`; durations in seconds or as text.
    """

    def __init__(
        self,
        *sources: Any,
        plugins: Sequence[object] = (),
        beside: "Rig | None" = None,
        store: MemoryStore | None = None,
        transport: MemoryTransport | None = None,
        open_store: Callable[[ManualClock], Any] | None = None,
        found: Sequence[Found] = (),
        sections: Mapping[str, Any] | None = None,
        stored_by: str = "memory",
        **core: Any,
    ) -> None:
        self.clock: ManualClock = beside.clock if beside else ManualClock()
        opened = open_store(self.clock) if open_store else _memory(self.clock, beside)
        self.store: MemoryStore = store or opened
        shared = beside.transport if beside else None
        self.transport: MemoryTransport = shared or transport or MemoryTransport()
        self.seen = Observer()
        self.waker = Waker()
        self.app: Streamer = Streamer(
            Settings.of({"store": stored_by, "transport": "memory", **core}, sections),
            store=self.store,
            transport=self.transport,
            clock=self.clock,
            found=list(found),
            load_handlers=False,
        )
        for plugin in (Tokens(), self.seen, self.waker, *plugins):
            self.plug(plugin)
        for source in sources:
            for spec in declared(source):
                self.app.registry.add(spec)
        self.pulse = HandPulse(self.clock)
        self.app.runtime.pulse = self.pulse

    def plug(self, plugin: object) -> None:
        register(self.app.hooks, f"{type(plugin).__name__}-{id(plugin)}", plugin, "a test")

    def client(
        self, user: str = "ann", *, tenant: str = "acme", scopes: str = "", expires: int = 0
    ) -> Client:
        return Client(self, f"{tenant}/{user}/{scopes}" + (f"/{expires}" if expires else ""))

    def beat(self, advance_ms: int = 0) -> None:
        self.pulse.beat(advance_ms)

    def stored(self, ref: str) -> Request:
        request = self.app.store.get(ref)
        assert request is not None
        return request

    def work(self, rounds: int = 100) -> int:
        """Work off what is due; gives how many runs there were."""
        for done in range(rounds):
            if not self.app.work():
                return done
        return rounds

    def claim(self, ref: str, *, lease_ms: int = 30_000) -> Request:
        """Take a request as another worker would that then says nothing."""
        lease_until = self.clock.now() + lease_ms
        taken = self.app.store.claim(ref, worker="elsewhere", lease_until=lease_until)
        assert taken is not None
        return taken


def _memory(clock: ManualClock, beside: Rig | None) -> MemoryStore:
    return MemoryStore(clock, beside.store.data if beside else None)


class Mirror:
    """A client that keeps promises 2 and 3 for one request: what it shows is what it may show."""

    def __init__(self) -> None:
        self.last_seq = 0
        self.chunks: list[tuple[int, Any]] = []
        self.terminal: Wire | None = None
        self.progress: Wire | None = None
        self._early: dict[int, Wire] = {}

    @property
    def output(self) -> list[Any]:
        return [data for _, data in self.chunks]

    def take(self, message: Wire) -> None:
        if message["type"] == "progress":
            self._snapshot(message)
        elif "seq" in message:
            self._early.setdefault(message["seq"], message)
            while self.last_seq + 1 in self._early:
                self._apply(self._early.pop(self.last_seq + 1))

    def _snapshot(self, message: Wire) -> None:
        kept = self.progress
        newer = kept is None or _place(message) > _place(kept)
        if newer and self.terminal is None:
            self.progress = message

    def _apply(self, message: Wire) -> None:
        self.last_seq = message["seq"]
        assert self.terminal is None, "something followed the terminal message"
        match message["type"]:
            case "chunk":
                self.chunks.append((message["seq"], message["data"]))
            case "restart":
                keep = message["keep_through_seq"]
                self.chunks = [(seq, data) for seq, data in self.chunks if seq <= keep]
            case _:
                assert message["terminal"] is True
                self.terminal = message


def _place(progress: Wire) -> tuple[int, int]:
    return progress["attempt"], progress["n"]


def mirror(messages: Sequence[Wire] | Iterator[Wire]) -> Mirror:
    """Give a client that took these messages."""
    made = Mirror()
    for message in messages:
        made.take(message)
    return made


def code_of(answer: Wire) -> str:
    """Give the code of a refusal or of a terminal error."""
    assert answer["type"] == "error", answer
    code: str = answer["error"]["code"]
    return code


@contextmanager
def interrupting(store: object, verb: str, action: Callable[[], object]) -> Iterator[None]:
    """Do something just before a port's next call of a verb, as another process could."""
    original = getattr(store, verb)

    def first(*args: Any, **kwargs: Any) -> Any:
        setattr(store, verb, original)
        action()
        return original(*args, **kwargs)

    setattr(store, verb, first)
    try:
        yield
    finally:
        setattr(store, verb, original)


__all__ = [
    "Client",
    "HandPulse",
    "Mirror",
    "Observer",
    "Rig",
    "Waker",
    "Wire",
    "code_of",
    "handler",
    "interrupting",
    "mirror",
]
