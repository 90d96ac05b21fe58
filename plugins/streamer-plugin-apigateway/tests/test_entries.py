"""The functions, by the events that AWS calls them with."""

import base64
import json
import threading
from typing import Any, cast

import pytest
from streamer_plugin_apigateway import entries, errands, wakes

from streamer_core import Context, Settings, Streamer, handler
from streamer_core.errors import StoreError
from streamer_core.handlers import declared
from streamer_core.markers import hookimpl
from streamer_core.model.call import Outgoing
from streamer_core.model.message import Priority
from streamer_core.model.request import Status
from streamer_core.plugins import register
from streamer_core.ports import Change, ChangeKind, SystemClock
from streamer_core.testing import MemoryStore, MemoryTransport
from streamer_core.testing.contracts.build import a_request
from tests.samples import aws_events
from tests.unit.harness import Rig, Tokens, Waker

BEARER = {"Authorization": ["Bearer acme/ann/"]}


@handler("echo")
def echo(payload: dict) -> dict[str, Any]:  # type: ignore[type-arg]  # bound by the bare name
    return payload


@handler("long", estimated="1m")
def long(ctx: Context) -> str:
    ctx.emit("piece")
    return f"attempt {ctx.attempt}"


@handler("endless", estimated="1h", timeout="1h")
def endless(ctx: Context) -> str:
    while not ctx.cancelled:
        threading.Event().wait(0.005)
    return "stopped"


class StreamStore(MemoryStore):
    """A store in memory with a stream of its own."""

    def change_of(self, record: Any) -> Change | None:
        if "NewImage" not in record["dynamodb"]:
            return None
        image = record["dynamodb"]["NewImage"]
        if "ended" in image:
            return Change(kind=ChangeKind.ENDED, ref=image["ref"]["S"])
        if "due_at" not in image:
            raise ValueError("no record")
        return Change(kind=ChangeKind.DUE, ref=image["ref"]["S"], due_at=int(image["due_at"]["N"]))


class Parking:
    """Keeps what is parked, or cannot."""

    def __init__(self) -> None:
        self.parked: list[Any] = []
        self.full = False

    @hookimpl
    def streamer_park(self, record: Any) -> bool:
        if self.full:
            raise OSError("full")
        self.parked.append(record)
        return True


class Invocation:
    """Lambda's context object, as far as it is used."""

    def __init__(self, left_ms: int) -> None:
        self.left_ms = left_ms

    def get_remaining_time_in_millis(self) -> int:
        return self.left_ms


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    rig = Rig(echo, long, endless, plugins=[Tokens()])
    monkeypatch.setattr(entries, "application", lambda **_: rig.app)
    return rig


def in_real_time(source: Any) -> Streamer:
    """Give an application whose clock and pulse are real."""
    clock = SystemClock()
    app = Streamer(
        Settings.of({"store": "memory", "transport": "memory"}),
        store=MemoryStore(clock),
        transport=MemoryTransport(),
        clock=clock,
        found=[],
        load_handlers=False,
    )
    register(app.hooks, "tokens", Tokens(), "a test")
    for spec in declared(source):
        app.registry.add(spec)
    return app


def at(event: dict[str, Any], connection_id: str) -> dict[str, Any]:
    context = {**event["requestContext"], "connectionId": connection_id}
    return {**event, "requestContext": context}


@pytest.fixture
def connection(rig: Rig) -> str:
    connection_id = rig.transport.connect()
    answer = entries.connect(at(aws_events.connecting(BEARER), connection_id))
    assert answer == {"statusCode": 200}
    return connection_id


def say(connection_id: str, body: Any, **more: Any) -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    answer = entries.router(at(aws_events.message(text, **more), connection_id))
    assert answer["statusCode"] == 200
    return json.loads(answer["body"]) if "body" in answer else None


def test_a_client_is_let_in_with_what_it_showed(rig: Rig, connection: str) -> None:
    kept = rig.store.get_connection(connection)
    assert kept is not None
    assert (kept.principal.tenant, kept.principal.user) == ("acme", "ann")
    assert kept.address == "203.0.113.7"


def test_a_client_without_a_token_is_refused(rig: Rig) -> None:
    answer = entries.connect(aws_events.connecting({}))
    assert answer["statusCode"] == 401
    assert json.loads(answer["body"])["code"] == "UNAUTHORIZED"
    assert rig.store.get_connection(aws_events.CONNECTION_ID) is None


@pytest.mark.parametrize("offered", [["streamer.v1, bearer.acme/ann/"], ["x", "streamer.v1"]])
def test_our_subprotocol_is_selected(rig: Rig, offered: list[str]) -> None:
    headers = {**BEARER, "Sec-WebSocket-Protocol": offered}
    answer = entries.connect(aws_events.connecting(headers))
    assert answer == {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "streamer.v1"}}


def test_a_token_in_the_address_counts_only_where_it_may(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = aws_events.connecting({}, {"token": "acme/ann/"})
    assert entries.connect(event)["statusCode"] == 401
    open_rig = Rig(echo, plugins=[Tokens()], allow_query_token=True)
    monkeypatch.setattr(entries, "application", lambda **_: open_rig.app)
    assert entries.connect(event)["statusCode"] == 200


def test_short_work_is_the_answer(rig: Rig, connection: str) -> None:
    answer = say(connection, {"id": "r", "action": "echo", "payload": {"text": "ä🦆"}})
    assert (answer["type"], answer["data"]) == ("response", {"text": "ä🦆"})
    assert list(rig.transport.inbox(connection)) == []


def test_a_body_may_come_as_base64(rig: Rig, connection: str) -> None:
    body = base64.b64encode(b'{"action": "echo", "payload": {"n": 1}}').decode()
    assert say(connection, body, isBase64Encoded=True)["data"] == {"n": 1}


@pytest.mark.parametrize("body", ["", "nonsense", "[]", '{"action": 1}'])
def test_what_is_no_message_gets_an_error(rig: Rig, connection: str, body: str) -> None:
    assert say(connection, body)["type"] == "error"


def test_of_several_frames_the_last_is_the_answer(rig: Rig, connection: str) -> None:
    """Those before it are posted, so that they come first."""
    say(connection, {"id": "r", "action": "long"})
    entries.worker(json.loads(wakes.encoded(_due(rig, "r"))))
    rig.transport.inbox(connection).clear()
    last = say(connection, {"action": "streamer.resume", "payload": {"requests": {"r": 0}}})
    kinds = [message["type"] for message in rig.transport.inbox(connection)]
    assert kinds == ["chunk", "complete"]
    assert last["type"] == "resumed"


@pytest.mark.parametrize("trouble", ["busy", "failing"])
def test_a_frame_that_is_not_taken_is_posted_again(rig: Rig, connection: str, trouble: str) -> None:
    say(connection, {"id": "r", "action": "long"})
    entries.worker(json.loads(wakes.encoded(_due(rig, "r"))))
    rig.transport.inbox(connection).clear()
    getattr(rig.transport, {"busy": "busy_next", "failing": "fail_next"}[trouble])(connection)
    last = say(connection, {"action": "streamer.resume", "payload": {"requests": {"r": 0}}})
    kinds = [message["type"] for message in rig.transport.inbox(connection)]
    assert [*kinds, last["type"]] == ["chunk", "complete", "resumed"]


def test_a_client_that_takes_nothing_holds_up_no_function(
    rig: Rig, connection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "_POSTING_S", 0.0)
    say(connection, {"id": "r", "action": "long"})
    entries.worker(json.loads(wakes.encoded(_due(rig, "r"))))
    rig.transport.inbox(connection).clear()
    asked = {"action": "streamer.resume", "payload": {"requests": {"r": 0}}}
    rig.transport.busy_next(connection)
    assert say(connection, asked)["type"] == "resumed"
    rig.transport.disconnect(connection)
    assert say(connection, asked)["type"] == "resumed"
    assert list(rig.transport.inbox(connection)) == []


@pytest.mark.parametrize("idempotent", [False, True])
def test_a_handler_that_takes_too_long_is_given_up_before_its_invocation_ends(
    monkeypatch: pytest.MonkeyPatch, *, idempotent: bool
) -> None:
    """Lambda kills the function at its end, and its client would hear of nothing."""

    @handler("slow", idempotent=idempotent)
    def slow(ctx: Context) -> None:
        while not ctx.cancelled:
            threading.Event().wait(0.005)

    app = in_real_time(slow)
    monkeypatch.setattr(entries, "application", lambda **_: app)
    transport = cast("MemoryTransport", app.transport)
    connection_id = transport.connect()
    entries.connect(at(aws_events.connecting(BEARER), connection_id))
    body = json.dumps({"action": "slow", "id": "s-1"})
    event = at(aws_events.message(body), connection_id)
    answer = entries.router(event, Invocation(left_ms=400))
    told = [json.loads(answer["body"])] if "body" in answer else []
    told += transport.inbox(connection_id)
    # A stored one has another attempt, elsewhere.
    wanted = ("acknowledgment", None) if idempotent else ("error", "TIMEOUT")
    assert [(one["type"], one.get("error", {}).get("code")) for one in told] == [wanted]
    assert app.runtime.answer_by is None
    app.close()


def test_a_connection_that_is_over_is_told_so(rig: Rig) -> None:
    forgotten = rig.transport.connect()
    assert say(forgotten, {"id": "r", "action": "echo"}) is None
    refusal, goodbye = rig.transport.inbox(forgotten)
    assert (refusal["error"]["code"], refusal["request_id"]) == ("UNAUTHORIZED", "r")
    assert goodbye["type"] == "goodbye"
    assert rig.transport.closed[forgotten] == (1001, "expired")


def test_a_store_that_fails_is_the_answer_to_the_message(rig: Rig, connection: str) -> None:
    rig.store.faults.fail_next("get_connection", StoreError("a secret of the house"))
    answer = say(connection, {"id": "r", "action": "echo"})
    assert (answer["error"]["code"], answer["request_id"]) == ("STORAGE_ERROR", "r")
    assert "secret" not in str(answer)
    assert say(connection, {"id": "r", "action": "echo"})["type"] == "response"


def test_a_client_that_leaves_is_forgotten(rig: Rig, connection: str) -> None:
    assert entries.disconnect(at(aws_events.disconnecting(), connection)) == {"statusCode": 200}
    assert rig.store.get_connection(connection) is None
    assert rig.seen.of("disconnect")[0]["reason"] == "Going away"
    entries.disconnect(at(aws_events.disconnecting(), connection))


def _due(rig: Rig, request_id: str) -> Change:
    (found,) = [r for r in rig.store.data.rows.values() if r.request.id == request_id]
    return Change(kind=ChangeKind.DUE, ref=found.request.ref, due_at=found.request.due_at)


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> tuple[Rig, Waker, Parking]:
    clock_rig, waker, parking = Rig(), Waker(), Parking()
    store = StreamStore(clock_rig.clock)
    rig = Rig(plugins=[waker, parking], beside=clock_rig, store=store)
    monkeypatch.setattr(entries, "application", lambda **_: rig.app)
    return rig, waker, parking


def test_a_batch_wakes_whoever_is_due(stream: tuple[Rig, Waker, Parking]) -> None:
    rig, waker, _ = stream
    now, later = rig.clock.now(), rig.clock.now() + 60_000
    records = [
        aws_events.inserted(n, due_at={"N": str(when)}) for n, when in ((1, now), (2, later))
    ]
    assert entries.processor(aws_events.stream(*records)) == {"batchItemFailures": []}
    assert [change.ref for change in waker.dispatched] == [f"{1:032x}"]
    assert [change.ref for change in waker.scheduled] == [f"{2:032x}"]


def test_one_bad_record_is_parked_and_holds_up_none(
    stream: tuple[Rig, Waker, Parking],
) -> None:
    rig, waker, parking = stream
    good = {"due_at": {"N": str(rig.clock.now())}}
    records = [
        aws_events.inserted(1, **good),
        aws_events.inserted(2),
        aws_events.inserted(3, **good),
    ]
    assert entries.processor(aws_events.stream(*records)) == {"batchItemFailures": []}
    assert [int(change.ref, 16) for change in waker.dispatched] == [1, 3]
    assert parking.parked == [records[1]]


def test_a_batch_of_bad_records_is_parked_whole(stream: tuple[Rig, Waker, Parking]) -> None:
    _, waker, parking = stream
    records = [aws_events.inserted(n) for n in (1, 2, 3)]
    assert entries.processor(aws_events.stream(*records)) == {"batchItemFailures": []}
    assert parking.parked == records
    assert waker.dispatched == []


def test_of_a_batch_of_which_none_can_be_parked_the_first_comes_again(
    stream: tuple[Rig, Waker, Parking],
) -> None:
    """The first that is named is where Lambda goes on."""
    parking = stream[2]
    parking.full = True
    records = [aws_events.inserted(n) for n in (1, 2, 3)]
    number = records[0]["dynamodb"]["SequenceNumber"]
    failures = [{"itemIdentifier": number}]
    assert entries.processor(aws_events.stream(*records)) == {"batchItemFailures": failures}
    assert parking.parked == []


def test_one_that_cannot_be_acted_on_holds_up_none(stream: tuple[Rig, Waker, Parking]) -> None:
    """The sweeper finds what was not sent of it."""
    rig, waker, _ = stream
    rig.store.faults.fail_next("get", StoreError("no"))
    good = {"due_at": {"N": str(rig.clock.now())}}
    records = [aws_events.inserted(1, ended={"BOOL": True}), aws_events.inserted(2, **good)]
    assert entries.processor(aws_events.stream(*records)) == {"batchItemFailures": []}
    assert [int(change.ref, 16) for change in waker.dispatched] == [2]


def test_what_cannot_be_parked_comes_again(stream: tuple[Rig, Waker, Parking]) -> None:
    """With all behind it: Lambda goes on from the record that is named."""
    rig, waker, parking = stream
    parking.full = True
    good = {"due_at": {"N": str(rig.clock.now())}}
    records = [
        aws_events.inserted(1, **good),
        aws_events.inserted(2),
        aws_events.inserted(3, **good),
    ]
    number = records[1]["dynamodb"]["SequenceNumber"]
    assert entries.processor(aws_events.stream(*records)) == {
        "batchItemFailures": [{"itemIdentifier": number}]
    }
    assert [int(change.ref, 16) for change in waker.dispatched] == [1]


def test_a_wake_runs_one_request(rig: Rig, connection: str) -> None:
    for name in ("r-1", "r-2"):
        say(connection, {"id": name, "action": "long"})
    entries.worker(json.loads(wakes.encoded(_due(rig, "r-2"))))
    ended = [r.request.id for r in rig.store.data.rows.values() if r.request.status.terminal]
    assert len(ended) == 1
    entries.worker(aws_events.queued(wakes.encoded(_due(rig, "r-1"))))
    assert all(r.request.status.terminal for r in rig.store.data.rows.values())


def test_a_wake_for_nothing_does_no_harm(rig: Rig, connection: str) -> None:
    say(connection, {"id": "r", "action": "long"})
    wake = json.loads(wakes.encoded(_due(rig, "r")))
    for _ in range(3):
        entries.worker(wake)
    (row,) = rig.store.data.rows.values()
    assert (row.request.attempt, row.request.status) == (1, Status.COMPLETED)


@pytest.mark.parametrize(
    "event", [{}, {"Records": [{}]}, {"ref": "x"}, {"ref": "x", "lane": "odd", "due_at": 1}]
)
def test_what_is_no_wake_is_an_error(rig: Rig, event: dict[str, Any]) -> None:
    with pytest.raises((KeyError, ValueError)):
        entries.worker(event)


def test_a_worker_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it runs is asked to stop, and goes on in another invocation."""
    app = in_real_time(endless)
    monkeypatch.setattr(entries, "application", lambda **_: app)
    request = a_request(app.clock, action="endless", payload={})
    app.store.enqueue(request)
    change = Change(kind=ChangeKind.DUE, ref=request.ref, due_at=request.due_at)
    entries.worker(json.loads(wakes.encoded(change)), Invocation(400))
    kept = app.store.get(request.ref)
    assert kept is not None
    assert (kept.status, kept.spent, kept.attempt) == (Status.PENDING, 0, 1)
    assert not app.runtime.draining.is_set(), "the next invocation works on"
    app.close()


def test_a_drain_that_has_begun_is_over_with_its_invocation(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen with the process, it would end what the next invocation runs."""
    begun, go_on, over = threading.Event(), threading.Event(), threading.Event()

    def drain(_: float) -> None:
        begun.set()
        go_on.wait(10)
        rig.app.runtime.draining.set()
        over.set()

    monkeypatch.setattr(rig.app, "drain", drain)
    monkeypatch.setattr(rig.app, "work", lambda: begun.wait(10))
    later = threading.Timer(0.05, go_on.set)
    change = Change(kind=ChangeKind.DUE, ref="0" * 32, due_at=0)
    later.start()
    entries.worker(json.loads(wakes.encoded(change)), Invocation(40))
    assert over.wait(10)
    assert not rig.app.runtime.draining.is_set(), "the next invocation would claim nothing"
    later.join()


class Flushes:
    """Counts how often it was told to send on what it gathered."""

    def __init__(self) -> None:
        self.told = 0

    @hookimpl
    def streamer_on_flush(self) -> None:
        self.told += 1


def test_plugins_send_on_what_they_gathered_after_each_event(
    rig: Rig, connection: str, stream: tuple[Rig, Waker, Parking], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda freezes the process then, however the event ended."""
    flushes = Flushes()
    for app in (rig.app, stream[0].app):
        app.hooks.register(flushes, "flushes")
    entries.processor(aws_events.stream(aws_events.inserted(1)))
    monkeypatch.setattr(entries, "application", lambda **_: rig.app)
    entries.connect(aws_events.connecting({}))
    say(connection, {"id": "r", "action": "long"})
    entries.worker(json.loads(wakes.encoded(_due(rig, "r"))))
    entries.sweeper(aws_events.SCHEDULED)
    entries.disconnect(at(aws_events.disconnecting(), connection))
    assert flushes.told == 6
    with pytest.raises(KeyError):
        entries.worker({})
    assert flushes.told == 7


def test_a_wake_for_another_functions_lane_is_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waker = Waker()
    rig = Rig(long, plugins=[waker], lanes=["normal", "low"])
    monkeypatch.setattr(entries, "application", lambda **_: rig.app)
    request = a_request(rig.clock, action="long", priority=Priority.HIGH)
    rig.store.enqueue(request)
    change = Change(kind=ChangeKind.DUE, ref=request.ref, lane=Priority.HIGH, due_at=request.due_at)
    entries.worker(json.loads(wakes.encoded(change)))
    assert waker.dispatched == [change]
    assert rig.store.get(request.ref) == request


def test_the_sweeper_says_what_it_did(rig: Rig, connection: str) -> None:
    rig.clock.advance(3 * 60 * 60 * 1000)
    assert entries.sweeper(aws_events.SCHEDULED)["connections"] == 1


def test_the_notifier_sends_to_those_it_is_told_of(rig: Rig, connection: str) -> None:
    ((payload, _),) = errands.errands(
        Outgoing(type="event", data=b'{"data":"hi"}'), [connection, "gone"]
    )
    assert entries.notifier(json.loads(payload)) == {}
    assert list(rig.transport.inbox(connection)) == [{"data": "hi"}]
