"""Whatever comes in, one answer goes out, and never an exception's text."""

import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, field_validator

from streamer_core import Context, handler
from streamer_core.engine.framework import ACTIONS
from streamer_core.errors import RateLimited, StoreError, Throttled
from streamer_core.markers import hookimpl
from streamer_core.model.connection import POLICY_VIOLATION
from streamer_core.model.message import NO_ACTION
from streamer_core.settings import CoreSettings
from tests.conftest import Lines
from tests.unit.harness import Client, Rig, Wire, code_of

LIMIT = CoreSettings().max_message_bytes
SECRET = "the whole truth"


class Payload(BaseModel):
    n: int = 0

    @field_validator("n")
    @classmethod
    def _breaks(cls, n: int) -> int:
        if n == 13:
            raise KeyError(SECRET)
        return n


@handler("echo")
def echo(payload: dict[str, Any]) -> Any:
    return payload


@handler("typed")
def typed(payload: Payload) -> int:
    return payload.n


@handler("queued", mode="async")
def queued(payload: dict[str, Any]) -> Any:
    return payload


@handler("once", idempotent=True)
def once(payload: dict[str, Any]) -> Any:
    return payload


@handler("fails")
def fails() -> None:
    raise RuntimeError(SECRET)


ALL = (echo, typed, queued, once, fails)


@pytest.fixture
def rig() -> Rig:
    return Rig(*ALL)


@pytest.fixture
def client(rig: Rig) -> Client:
    return rig.client()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"hello", "INVALID_MESSAGE"),
        (b"[]", "INVALID_MESSAGE"),
        (b"{}", "INVALID_MESSAGE"),
        (b"\xff", "INVALID_MESSAGE"),
        (b"[" * 10_000, "INVALID_MESSAGE"),
        (b'{"action": "echo", "payload": {"n": NaN}}', "INVALID_MESSAGE"),
        (b'{"action": "queued", "payload": {"n": 1e999}}', "INVALID_MESSAGE"),
        (b'{"action": "a b"}', "VALIDATION_ERROR"),
        (b'{"action": "echo", "payload": []}', "VALIDATION_ERROR"),
        (b'{"action": "echo", "options": {"mode": "now"}}', "VALIDATION_ERROR"),
        (b'{"action": "echo", "id": " "}', "VALIDATION_ERROR"),
        (b'{"action": "typed", "payload": {"n": "x"}}', "VALIDATION_ERROR"),
        (b'{"action": "typed", "payload": {"n": 13}}', "INTERNAL_ERROR"),
        (b'{"action": "nobody"}', "INVALID_ACTION"),
        (b'{"action": "streamer.nothing"}', "INVALID_ACTION"),
        (b'{"action": "' + b"x" * LIMIT + b'"}', "PAYLOAD_TOO_LARGE"),
        (b'{"action": "echo", "options": {"priority": "high"}}', "FORBIDDEN"),
    ],
)
def test_refusals(client: Client, data: bytes, code: str) -> None:
    (answer,) = client.raw(data)
    assert code_of(answer) == code
    assert answer["refused"] is True
    assert SECRET not in json.dumps(answer)
    assert not client.inbox


def test_a_refusal_names_its_request(client: Client) -> None:
    assert client.ask("a b", id="r-1")["request_id"] == "r-1"
    assert client.ask("nobody", id="r-2")["request_id"] == "r-2"
    (answer,) = client.raw(b"nothing")
    assert "request_id" not in answer
    (answer,) = client.raw(b'{"id": "r-3", "action": "' + b"x" * LIMIT + b'"}')
    assert "request_id" not in answer


def test_a_message_of_many_small_parts_passes(client: Client) -> None:
    payload = {"rows": [[n] for n in range(5000)]}
    assert client.ask("echo", payload)["data"] == payload
    assert client.ask("queued", payload)["type"] == "acknowledgment"


def test_an_expired_connection_is_refused(rig: Rig) -> None:
    client = rig.client(expires=rig.clock.now() + 1000)
    assert client.ask("streamer.ping")["type"] == "pong"
    rig.clock.advance(1000)
    for action in ("streamer.ping", "echo", "streamer.authenticate"):
        refusal, goodbye = client.send(action, {"token": "acme/ann/"}, id="r")
        assert (code_of(refusal), refusal["request_id"]) == ("UNAUTHORIZED", "r")
        assert (goodbye["type"], goodbye["reason"]) == ("goodbye", "expired")


@pytest.mark.parametrize("is_known", [True, False])
def test_a_connection_that_is_over_is_closed(rig: Rig, is_known: bool) -> None:
    client = rig.client(expires=rig.clock.now() + 1000)
    rig.clock.advance(1000)
    known = client.connection if is_known else None
    received = rig.app.receive(known, b'{"action": "echo"}')
    assert received.close == (1001, "expired")
    assert len(received.frames) == 2


def test_a_draining_server_takes_no_requests(rig: Rig, client: Client) -> None:
    rig.app.runtime.draining.set()
    answer = client.ask("echo")
    assert code_of(answer) == "SERVICE_UNAVAILABLE"
    assert answer["error"]["retry"] == {"retryable": True}
    assert client.ask("streamer.ping")["type"] == "pong"


class Limiter:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.closed = False

    @hookimpl
    def streamer_limit(self, request: Any) -> None:
        if request is not None:
            self.asked.append(request.action)
        if self.closed or (request is not None and request.payload.get("fast")):
            raise RateLimited("Too fast", retry_after_ms=250)


def test_limits_hold_for_the_frameworks_actions_too() -> None:
    limiter = Limiter()
    client = Rig(*ALL, plugins=[limiter]).client()
    for action in ("streamer.ping", "echo"):
        answer = client.ask(action, {"fast": True})
        assert code_of(answer) == "RATE_LIMITED"
        assert answer["error"]["retry"] == {"retryable": True, "after_ms": 250}
    assert limiter.asked == ["streamer.ping", "echo"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"id": "r-1", "action": "nobody"}', "INVALID_ACTION"),
        (b'{"id": "r-1", "action": "streamer.nothing"}', "INVALID_ACTION"),
        (b'{"id": "r-1", "action": 7}', "VALIDATION_ERROR"),
        (b'{"id": "r-1", "action": "echo", "payload": []}', "VALIDATION_ERROR"),
        (b'{"id": "r-1"}', "INVALID_MESSAGE"),
        (b"hello", "INVALID_MESSAGE"),
        (b"x" * (LIMIT + 1), "PAYLOAD_TOO_LARGE"),
    ],
)
def test_limits_hold_for_what_no_handler_gets(data: bytes, code: str) -> None:
    limiter = Limiter()
    client = Rig(*ALL, plugins=[limiter]).client()
    (answer,) = client.raw(data)
    assert code_of(answer) == code
    assert limiter.asked == [NO_ACTION]
    limiter.closed = True
    (answer,) = client.raw(data)
    assert code_of(answer) == "RATE_LIMITED"
    assert answer.get("request_id") == ("r-1" if b"r-1" in data else None)


class Doorman:
    @hookimpl
    def streamer_limit(self, request: Any) -> None:
        if request is not None:
            raise RateLimited("Too fast", retry_after_ms=250, close=(POLICY_VIOLATION, "enough"))


def test_a_refusal_may_close_the_connection() -> None:
    received = Rig(*ALL, plugins=[Doorman()]).client().receive(b'{"action": "echo"}')
    assert received.close == (POLICY_VIOLATION, "enough")
    error, goodbye = map(json.loads, received.frames)
    assert code_of(error) == "RATE_LIMITED"
    assert goodbye["type"] == "goodbye"
    assert (goodbye["reason"], goodbye["reconnect_after_ms"]) == ("enough", 250)


class Careless:
    """A gate whose refusal cannot be written, and one that breaks."""

    @hookimpl
    def streamer_limit(self, request: Any) -> None:
        match request and request.payload.get("gate"):
            case "unwritable":
                raise RateLimited("Too fast", details={1, object()})
            case "huge":
                raise RateLimited("Too fast", details="x" * LIMIT)
            case "broken":
                raise RuntimeError(SECRET)


@pytest.mark.parametrize(
    ("gate", "code"),
    [("unwritable", "RATE_LIMITED"), ("huge", "RATE_LIMITED"), ("broken", "INTERNAL_ERROR")],
)
def test_a_careless_gate(gate: str, code: str, logs: Lines) -> None:
    answer = Rig(*ALL, plugins=[Careless()]).client().ask("echo", {"gate": gate})
    assert code_of(answer) == code
    assert len(json.dumps(answer)) < LIMIT
    assert SECRET not in json.dumps(answer)
    if gate == "broken":
        assert SECRET in str(logs)


@pytest.mark.parametrize("verb", ["enqueue", "get"])
@pytest.mark.parametrize("error", [StoreError(SECRET), Throttled(SECRET), OSError(SECRET)])
def test_a_store_that_fails(rig: Rig, client: Client, verb: str, error: Exception) -> None:
    rig.store.faults.fail_next(verb, error)
    action = "queued" if verb == "enqueue" else "streamer.status"
    answer = client.ask(action, {"request_id": "r"}, id="r")
    expected = "STORAGE_ERROR" if isinstance(error, StoreError) else "INTERNAL_ERROR"
    assert code_of(answer) == expected
    assert SECRET not in json.dumps(answer)
    assert rig.store.get(client.ref("r")) is None


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=10)
    | st.sampled_from(["r-1", "room:1", "acme/ann/", "queued", "processing", "high", "sync"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "request_id",
                    "ref",
                    "topic",
                    "requests",
                    "version",
                    "resume",
                    "token",
                    "status",
                    "limit",
                    "cursor",
                    "since",
                    "n",
                    "r-1",
                ]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
messages = st.fixed_dictionaries(
    {"action": st.sampled_from([*ACTIONS, "echo", "typed", "queued", "once", "fails", "x"])},
    optional={
        "id": st.sampled_from(["r-1", "r-2"]) | anything,
        "payload": anything,
        "metadata": st.dictionaries(st.text(max_size=3), st.text(max_size=3)) | anything,
        "options": st.fixed_dictionaries(
            {},
            optional={
                "mode": st.sampled_from(["auto", "sync", "async"]) | anything,
                "priority": st.sampled_from(["low", "high"]) | anything,
                "delay_ms": st.integers(-5, 10**12) | anything,
            },
        ),
    },
)
SHARED = Rig(*ALL)
ASKER = SHARED.client(scopes="streamer:priority")


def check_answers(data: bytes) -> list[Wire]:
    received = ASKER.receive(data)
    assert received.frames
    answers = []
    for frame in received.frames:
        assert len(frame) <= LIMIT
        answer = json.loads(frame.decode("ascii"))
        assert SECRET not in frame.decode()
        assert isinstance(answer["type"], str)
        answers.append(answer)
    return answers


@given(st.binary(max_size=200))
def test_any_bytes_have_one_answer(data: bytes) -> None:
    (answer,) = check_answers(data)
    assert answer["refused"]


@given(messages)
def test_any_json_has_an_answer(body: dict[str, Any]) -> None:
    answers = check_answers(json.dumps(body).encode())
    codes = {answer["error"]["code"] for answer in answers if answer["type"] == "error"}
    assert "INTERNAL_ERROR" not in codes
    SHARED.work()


def test_many_threads_may_receive_at_once(rig: Rig) -> None:
    clients = [rig.client(f"u{n}") for n in range(8)]
    answers: list[Wire] = []

    def ask(client: Client) -> None:
        answers.extend(client.ask("echo", {"n": n}) for n in range(10))

    threads = [threading.Thread(target=ask, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [answer["type"] for answer in answers] == ["response"] * 80


def test_metrics_count_refusals(rig: Rig, client: Client) -> None:
    client.ask("nobody")
    (metric,) = [
        told["metric"] for told in rig.seen.of("metric") if told["metric"].name == "message.refused"
    ]
    assert metric.tags == {"code": "INVALID_ACTION"}


@handler("binds")
async def binds(payload: Payload, ctx: Context) -> Any:
    return [payload.n, ctx.request_id, dict(ctx.metadata), ctx.principal.user, ctx.attempt]


def test_what_a_handler_gets() -> None:
    client = Rig(binds).client()
    answer = client.ask("binds", {"n": 3}, id="r-9", metadata={"v": "1"})
    assert answer["data"] == [3, "r-9", {"v": "1"}, "ann", 1]
