"""Each family's rule, and every hook in the order it is called.

The pulse is stepped by hand here: what it would do a moment later in its own thread it does at
once, so that the order is the same in every run.
"""

import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamer_core import Context, Principal, Settings, Streamer, handler, hookspecs, topic
from streamer_core.engine.pulse import Pulse, Running
from streamer_core.errors import Forbidden, Unauthorized
from streamer_core.hooks import Manager, collect, observe
from streamer_core.markers import hookimpl
from streamer_core.model.connection import Connection, Handshake
from streamer_core.model.message import Mode
from streamer_core.model.policy import Again
from streamer_core.model.tables import OwnTables
from streamer_core.plugins import Found
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport

HOOKS = frozenset(name for name in vars(hookspecs) if name.startswith("streamer_"))


class StepPulse(Pulse):
    """A pulse without a thread: `soon` is now."""

    def add(self, running: Running) -> None:
        self._running[id(running)] = running

    def soon(self) -> None:
        for running in self.running:
            running.tick(self._clock.monotonic())


# -- the rules, on bare plugins


class Bare:
    """Answers one hook with what it is given, or raises it."""

    def __init__(self, name: str, asked: list[str], answer: Any) -> None:
        self.name, self.asked, self.answer = name, asked, answer

    def give(self) -> Any:
        self.asked.append(self.name)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Gate(Bare):
    @hookimpl
    def streamer_authorize(self) -> Any:
        return self.give()


class Decider(Bare):
    @hookimpl
    def streamer_authenticate(self) -> Any:
        return self.give()


class Observer(Bare):
    @hookimpl
    def streamer_on_flush(self) -> Any:
        return self.give()


class Provider(Bare):
    @hookimpl
    def streamer_register_panels(self) -> Any:
        return self.give()


@pytest.fixture(params=["hook", "calls"])
def way(request: pytest.FixtureRequest) -> str:
    """pluggy's way to the hooks, and the short one."""
    return str(request.param)


def asked_of(kind: type[Bare], *answers: Any) -> tuple[Any, list[str]]:
    """Give a manager of plugins a, b, c… with these answers, and the list of who was asked."""
    manager, asked = Manager(), list[str]()
    named = list(zip("abc", answers, strict=False))
    for name, answer in reversed(named):
        manager.register(kind(name, asked, answer), name)
    return manager, asked


def test_gates_are_all_asked_where_none_refuses(way: str) -> None:
    manager, asked = asked_of(Gate, None, "yes", None)
    answers = getattr(manager, way).streamer_authorize(principal=None, verb="call", resource=None)
    assert asked == ["a", "b", "c"]
    assert answers == ["yes"]


def test_each_is_given_what_it_wants(way: str) -> None:
    class All:
        @hookimpl
        def streamer_authorize(self, principal: Any, verb: Any, resource: Any) -> Any:
            return principal, verb, resource

    class Turned:
        @hookimpl
        def streamer_authorize(self, resource: Any, principal: Any) -> Any:
            return resource, principal

    class Nothing:
        @hookimpl
        def streamer_authorize(self) -> Any:
            return ()

    manager = Manager()
    for plugin in (Nothing(), Turned(), All()):
        manager.register(plugin)
    ask = getattr(manager, way).streamer_authorize
    assert ask(principal="p", verb="v", resource="r") == [("p", "v", "r"), ("r", "p"), ()]


def test_a_gates_yes_does_not_hide_anothers_no(way: str) -> None:
    manager, asked = asked_of(Gate, True, Forbidden("no"), None)
    with pytest.raises(Forbidden):
        getattr(manager, way).streamer_authorize(principal=None, verb="call", resource=None)
    assert asked[:2] == ["a", "b"]


def test_the_first_decision_wins(way: str) -> None:
    manager, asked = asked_of(Decider, None, "b", "c")
    assert getattr(manager, way).streamer_authenticate(handshake=None) == "b"
    assert asked == ["a", "b"]


def test_no_decision_is_none(way: str) -> None:
    manager, asked = asked_of(Decider, None, None)
    assert getattr(manager, way).streamer_authenticate(handshake=None) is None
    assert asked == ["a", "b"]


def test_an_error_is_a_decision(way: str) -> None:
    manager, asked = asked_of(Decider, Unauthorized("mine, and no"), "b")
    with pytest.raises(Unauthorized):
        getattr(manager, way).streamer_authenticate(handshake=None)
    assert asked == ["a"]


def test_an_observer_that_fails_is_logged_by_name_and_silences_nobody() -> None:
    manager, asked = asked_of(Observer, None, RuntimeError("of b"), None)
    with capture_logs() as logs:
        observe(manager, "streamer_on_flush")
    assert asked == ["a", "b", "c"]
    assert [(log["event"], log["plugin"], log["hook"]) for log in logs] == [
        ("observer failed", "b", "streamer_on_flush")
    ]


def test_what_ends_the_process_is_not_an_observers_failure() -> None:
    class Leaving:
        @hookimpl
        def streamer_on_flush(self) -> None:
            raise KeyboardInterrupt

    manager = Manager()
    manager.register(Leaving(), "leaving")
    with pytest.raises(KeyboardInterrupt):
        observe(manager, "streamer_on_flush")


def test_answers_are_collected_with_who_gave_them() -> None:
    manager, asked = asked_of(Provider, "panel", None, ())
    assert collect(manager, "streamer_register_panels") == [("a", "panel"), ("c", ())]
    assert asked == ["a", "b", "c"]


class Called:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    @hookimpl(trylast=True)
    def streamer_execute(self, call: Any) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Around:
    def __init__(self, kind: str) -> None:
        self.kind = kind

    @hookimpl(wrapper=True)
    def streamer_execute(self, call: Any) -> Generator[None, Any, Any]:
        if self.kind == "refuses":
            raise Forbidden("no")
        if self.kind == "never yields":
            return None
        try:
            answer = yield
        except BaseException as error:
            if self.kind == "makes it good":
                return f"after {type(error).__name__}"
            if self.kind == "raises another":
                raise Forbidden("another") from error
            raise
        if self.kind == "yields twice":
            yield
        return f"around {answer}"


@pytest.mark.parametrize(
    "answer", ["x", None, ValueError("v"), StopIteration("s"), KeyboardInterrupt()]
)
@pytest.mark.parametrize(
    "kind",
    ["", "refuses", "never yields", "makes it good", "raises another", "yields twice"],
)
@pytest.mark.parametrize("others", [(), ("",), ("makes it good", "refuses"), ("", "yields twice")])
def test_the_short_way_around_is_pluggys(kind: str, answer: Any, others: Sequence[str]) -> None:
    manager = Manager()
    manager.register(Called(answer), "called")
    for number, one in enumerate([kind, *others]):
        manager.register(Around(one), f"around {number}")
    assert manager.calls.streamer_execute is not manager.hook.streamer_execute

    def outcome(ask: Any) -> Any:
        try:
            return ask(call=None)
        except BaseException as error:  # noqa: BLE001
            return type(error), str(error)[:5] if not isinstance(error, RuntimeError) else ""

    assert outcome(manager.calls.streamer_execute) == outcome(manager.hook.streamer_execute)


# -- the order, on a running application


@handler("at_once")
def at_once(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Report, emit, end."""
    ctx.progress(50)
    ctx.emit("piece")
    return payload


@handler("queued", mode="async")
def queued(ctx: Context) -> str:
    """Report, emit, checkpoint, end."""
    ctx.progress(50, "half")
    ctx.emit("piece")
    ctx.checkpoint({"page": 1})
    with ctx.circuit("ledger"):
        return "done"


@handler("flaky", mode="async", retry={"max_attempts": 2})
def flaky(ctx: Context) -> None:
    """Fail each time, with a piece of output."""
    ctx.emit("piece")
    ctx.checkpoint(None)
    ctx.emit("forgotten")
    raise RuntimeError("flaky")


@topic("room")
def anybody(_principal: Principal) -> bool:
    return True


@handler("say")
def say(ctx: Context) -> None:
    """Tell a room."""
    ctx.publish("room", "hi")


class Recorder:
    """Implements every hook, notes each call, and leaves all as it is."""

    calls: list[str]

    def __init__(self, _settings: object, app: Streamer) -> None:
        self.app = app
        self.calls = []

    def note(self, hook: str, *about: object) -> None:
        self.calls.append(" ".join([hook.removeprefix("streamer_"), *map(str, about)]))

    @hookimpl
    def streamer_open_store(self, name: str, clock: ManualClock) -> MemoryStore:
        self.note("open_store", name)
        return MemoryStore(clock)

    @hookimpl
    def streamer_open_tenant_store(self, clock: ManualClock, tables: OwnTables) -> MemoryStore:
        self.note("open_tenant_store", tables.tenant)
        return MemoryStore(clock)

    @hookimpl
    def streamer_wrap_store(self) -> None:
        self.note("wrap_store")

    @hookimpl
    def streamer_open_transport(self, name: str) -> MemoryTransport:
        self.note("open_transport", name)
        return MemoryTransport()

    @hookimpl
    def streamer_register_handlers(self) -> list[Any]:
        self.note("register_handlers")
        return [at_once, queued, flaky, anybody, say]

    @hookimpl
    def streamer_register_commands(self, cli: Any) -> None:
        self.note("register_commands")

    @hookimpl
    def streamer_register_panels(self) -> None:
        self.note("register_panels")

    @hookimpl
    def streamer_lambda_entries(self, app: Streamer) -> None:
        self.note("lambda_entries")

    @hookimpl
    def streamer_startup(self, app: Streamer) -> None:
        self.note("startup")

    @hookimpl
    def streamer_authenticate(self, handshake: Handshake) -> Principal:
        self.note("authenticate", handshake.token)
        return Principal(user="ada", tenant="acme", scopes=frozenset({"streamer:priority"}))

    @hookimpl
    def streamer_authorize(self, verb: str, resource: Any) -> None:
        self.note("authorize", verb, resource.kind)

    @hookimpl
    def streamer_limit(self, request: Any) -> None:
        self.note("limit", request.action if request else "connection")

    @hookimpl
    def streamer_admit(self, request: Any) -> None:
        self.note("admit", request.action if request else "connection")

    @hookimpl
    def streamer_route(self) -> None:
        self.note("route")

    @hookimpl
    @contextmanager
    def streamer_around_message(self, request: Any) -> Iterator[None]:
        self.note("around_message", request.action, "begins")
        try:
            yield
        finally:
            self.note("around_message", request.action, "ends")

    @hookimpl
    def streamer_metadata(self, request: Any) -> dict[str, str]:
        self.note("metadata", request.action)
        return {"seen": "yes"}

    @hookimpl(wrapper=True)
    def streamer_enqueue(self, requests: Any) -> Generator[None, Any, Any]:
        answers = yield
        self.note("enqueue", *(f"{one.action}:{one.metadata['seen']}" for one in requests))
        return answers

    @hookimpl
    def streamer_dispatch(self, change: Any) -> bool:
        self.note("dispatch", change.lane)
        return True

    @hookimpl
    def streamer_schedule(self, change: Any) -> bool:
        self.note("schedule", change.lane)
        return True

    @hookimpl
    def streamer_park(self, record: Any, error: str) -> bool:
        self.note("park", record["eventID"], error)
        return True

    @hookimpl
    @contextmanager
    def streamer_around_call(self, call: Any) -> Iterator[None]:
        self.note("around_call", call.mode, "begins")
        try:
            yield
        finally:
            self.note("around_call", call.mode, "ends")

    @hookimpl(wrapper=True)
    def streamer_execute(self, call: Any) -> Generator[None, Any, Any]:
        self.note("execute", call.mode, "begins")
        try:
            return (yield)
        finally:
            self.note("execute", call.mode, "ends")

    @hookimpl
    def streamer_circuit(self, name: str) -> Any:
        self.note("circuit", name)
        self.app.runtime.tell(
            "streamer_on_circuit_change", name=name, before="half_open", after="closed"
        )
        return nullcontext()

    @hookimpl
    def streamer_retry(self, failure: Any) -> Again | None:
        self.note("retry", failure.attempt)
        return Again(delay_ms=1_000) if failure.attempt == 1 else None

    @hookimpl(wrapper=True)
    def streamer_deliver(self, pushes: Any) -> Generator[None, Any, Any]:
        verdicts = yield
        for push, of_each in zip(pushes, verdicts, strict=True):
            self.note("deliver", push.message.type, *(one.value for one in of_each.values()))
        return verdicts

    @hookimpl
    def streamer_fan_out(self, connections: Any) -> None:
        self.note("fan_out", *connections)

    @hookimpl
    def streamer_on_connect(self) -> None:
        self.note("on_connect")

    @hookimpl
    def streamer_on_disconnect(self, reason: str) -> None:
        self.note("on_disconnect", reason)

    @hookimpl
    def streamer_on_request(self, request: Any, mode: Mode) -> None:
        self.note("on_request", request.action, mode)

    @hookimpl
    def streamer_on_transition(self, before: Any, after: Any) -> None:
        self.note("on_transition", before, after)

    @hookimpl
    def streamer_on_update(self, updates: Any) -> None:
        self.note("on_update", *(f"{one.seq}:{one.kind}" for one in updates))

    @hookimpl
    def streamer_on_dead_letter(self, failure: Any) -> None:
        self.note("on_dead_letter", failure.code)

    @hookimpl
    def streamer_on_circuit_change(self, name: str, before: str, after: str) -> None:
        self.note("on_circuit_change", name, before, after)

    @hookimpl
    def streamer_on_metric(self, metric: Any) -> None:
        self.note("on_metric", metric.name)

    @hookimpl
    def streamer_on_sweep(self) -> None:
        self.note("on_sweep")

    @hookimpl
    def streamer_on_flush(self) -> None:
        self.note("on_flush")

    @hookimpl
    def streamer_health(self) -> None:
        self.note("health")

    @hookimpl
    def streamer_shutdown(self, app: Streamer) -> None:
        self.note("shutdown")


CAME = ("on_metric message.received",)
"""What is measured of a message before anything else happens."""
SENT = ("on_metric message.sent", "on_metric message.latency")
"""What is measured of a message that was pushed."""
SWEPT = ("on_sweep", "on_metric connection.stored")
ANSWERED = "on_metric message.answered"


class Stage:
    """An application with a recorder in it, and one client."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.app = Streamer.start(
            Settings.of({"store": "scratch", "transport": "scratch"}),
            clock=self.clock,
            found=[Found(name="recorder", value=f"{__name__}:Recorder")],
        )
        self.app.runtime.pulse = StepPulse(self.clock)
        self.recorder: Any = self.app.hooks.get_plugin("recorder")
        self.transport: Any = self.app.transport
        self.connection: Connection | None = None

    def taken(self) -> list[str]:
        """Give what was called since it was last asked."""
        calls: list[str] = self.recorder.calls
        self.recorder.calls = []
        return calls

    def connect(self) -> None:
        self.connection = self.app.connect(
            Handshake(connection_id=self.transport.connect("c-1"), token="t")
        )

    def send(self, action: str, payload: Any = None, **more: Any) -> list[dict[str, Any]]:
        assert self.connection is not None
        data = json.dumps({"id": "r-1", "action": action, "payload": payload or {}, **more})
        received = self.app.receive(self.connection, data.encode())
        return [json.loads(frame) for frame in received.frames]


@pytest.fixture
def stage() -> Iterator[Stage]:
    built = Stage()
    yield built
    built.app.close()


@pytest.fixture
def connected(stage: Stage) -> Stage:
    stage.connect()
    stage.taken()
    return stage


def test_start_and_end(stage: Stage) -> None:
    assert stage.taken() == [
        "register_handlers",
        "open_transport scratch",
        "open_store scratch",
        "wrap_store",
        "startup",
    ]
    assert [one.name for one in stage.app.health()] == ["store"]
    stage.app.close()
    assert stage.taken() == ["health", "on_flush", "shutdown"]


def test_connecting_and_going(stage: Stage) -> None:
    stage.taken()
    stage.connect()
    assert stage.taken() == [
        "authenticate t",
        "limit connection",
        "admit connection",
        "on_connect",
        "on_metric connection.opened",
    ]
    stage.send("streamer.authenticate", {"token": "t2"})
    assert stage.taken() == [
        *CAME,
        "limit streamer.authenticate",
        "authenticate t2",
        ANSWERED,
    ]
    stage.app.disconnect("c-1", "closed")
    stage.app.disconnect("c-1", "closed")
    assert stage.taken() == ["on_disconnect closed", "on_metric connection.closed"]


def test_a_record_that_cannot_be_read(stage: Stage) -> None:
    stage.taken()
    assert stage.app.park({"eventID": "e-1"}, "a number is missing") is True
    assert stage.taken() == ["park e-1 a number is missing"]


def test_a_sync_request(connected: Stage) -> None:
    (answer,) = connected.send("at_once", {"x": 1})
    assert answer["data"] == {"x": 1}
    assert connected.taken() == [
        *CAME,
        "around_message at_once begins",
        "limit at_once",
        "authorize call action",
        "route",
        "admit at_once",
        "on_request at_once sync",
        "around_call sync begins",
        "execute sync begins",
        "deliver progress delivered",
        *SENT,
        "deliver chunk delivered",
        *SENT,
        "execute sync ends",
        "around_call sync ends",
        "on_metric request.answered",
        "around_message at_once ends",
        ANSWERED,
    ]


def test_an_event(connected: Stage) -> None:
    connected.send("streamer.subscribe", {"topic": "room"})
    connected.taken()
    connected.send("say", options={"mode": "sync"})
    taken = connected.taken()
    published = taken.index("authorize publish topic")
    assert taken[published + 1 : published + 4] == [
        "fan_out c-1",
        "deliver event delivered",
        "on_metric message.sent",
    ]


def test_an_async_request(connected: Stage) -> None:
    (answer,) = connected.send("queued", options={"priority": "high"})
    assert answer["type"] == "acknowledgment"
    assert connected.taken() == [
        *CAME,
        "around_message queued begins",
        "limit queued",
        "authorize call action",
        "authorize priority action",
        "route",
        "admit queued",
        "on_request queued async",
        "metadata queued",
        "around_message queued ends",
        "enqueue queued:yes",
        "on_transition None PENDING",
        "on_metric request.accepted",
        ANSWERED,
    ]
    assert connected.app.sweep().woken == 1
    assert connected.taken() == ["on_metric request.oldest", "dispatch high", *SWEPT]
    assert connected.app.work()
    assert connected.taken() == [
        "on_transition PENDING PROCESSING",
        "on_metric request.waited",
        "around_call async begins",
        "execute async begins",
        "deliver progress delivered",
        *SENT,
        "on_update 1:chunk",
        "deliver chunk delivered",
        *SENT,
        "circuit ledger",
        "on_circuit_change ledger half_open closed",
        "execute async ends",
        "around_call async ends",
        "on_metric request.executed",
        "on_update 2:complete",
        "deliver complete delivered",
        *SENT,
        "on_transition PROCESSING COMPLETED",
        "on_metric request.ended",
        "on_metric request.age",
    ]


def test_a_retry_and_a_dead_letter(connected: Stage) -> None:
    connected.send("flaky")
    connected.taken()
    assert connected.app.work()
    assert connected.taken() == [
        "on_transition PENDING PROCESSING",
        "on_metric request.waited",
        "around_call async begins",
        "execute async begins",
        "on_update 1:chunk",
        "deliver chunk delivered",
        *SENT,
        "execute async ends",
        "around_call async ends",
        "on_metric request.executed",
        "retry 1",
        "deliver progress delivered",
        *SENT,
        "on_metric request.retried",
        "on_transition PROCESSING RETRYING",
    ]
    connected.app.sweep()
    assert connected.taken() == ["on_metric request.oldest", "schedule normal", *SWEPT]
    connected.clock.advance(1_000)
    assert connected.app.work()
    assert connected.taken() == [
        "on_transition RETRYING PROCESSING",
        "on_metric request.waited",
        "around_call async begins",
        "execute async begins",
        "on_update 2:chunk",
        "deliver chunk delivered",
        *SENT,
        "execute async ends",
        "around_call async ends",
        "on_metric request.executed",
        "retry 2",
        "on_update 3:chunk 4:error",
        "deliver chunk delivered",
        *SENT,
        "deliver error delivered",
        *SENT,
        "on_transition PROCESSING FAILED",
        "on_metric request.ended",
        "on_metric request.age",
        "on_dead_letter PROCESSING_FAILED",
        "on_metric request.dead_lettered",
    ]


def test_a_cancel(connected: Stage) -> None:
    connected.send("queued")
    connected.taken()
    connected.send("streamer.cancel", {"request_id": "r-1"})
    assert connected.taken() == [
        *CAME,
        "limit streamer.cancel",
        "authorize cancel request",
        "on_transition PENDING CANCELLED",
        "on_metric request.ended",
        "on_metric request.age",
        "deliver error delivered",
        *SENT,
        ANSWERED,
    ]


def test_asking_about_a_request(connected: Stage) -> None:
    connected.send("queued")
    connected.taken()
    connected.send("streamer.status", {"request_id": "r-1"})
    connected.send("streamer.resume", {"requests": {"r-1": 0}})
    connected.send("streamer.subscribe", {"request_id": "r-1"})
    connected.send("streamer.list")
    assert connected.taken() == [
        *CAME,
        "limit streamer.status",
        "authorize status request",
        ANSWERED,
        *CAME,
        "limit streamer.resume",
        "authorize resume request",
        "authorize resume request",
        ANSWERED,
        *CAME,
        "limit streamer.subscribe",
        "authorize subscribe request",
        "authorize subscribe request",
        ANSWERED,
        *CAME,
        "limit streamer.list",
        ANSWERED,
    ]


def test_listing_actions_asks_for_each_handler(connected: Stage) -> None:
    connected.send("streamer.actions")
    assert connected.taken() == [
        *CAME,
        "limit streamer.actions",
        *(["authorize call action", "route"] * len(connected.app.registry)),
        ANSWERED,
    ]


def test_a_store_of_a_tenants_own_is_provided(connected: Stage) -> None:
    store = connected.app.open_tenant_store(OwnTables(tenant="acme"))
    assert store is not connected.app.store
    assert connected.taken() == ["open_tenant_store acme"]


def test_asking_for_health_asks_who_may_see_it(connected: Stage) -> None:
    connected.send("streamer.health")
    assert connected.taken() == [
        "on_metric message.received",
        "limit streamer.health",
        "authorize admin action",
        "health",
        ANSWERED,
    ]


def test_the_recorder_implements_every_hook() -> None:
    implemented = {name for name in vars(Recorder) if name.startswith("streamer_")}
    assert implemented == HOOKS
