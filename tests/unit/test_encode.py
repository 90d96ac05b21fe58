"""Every message as PROTOCOL.md's table has it."""

import datetime
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, computed_field

from streamer_core.errors import RateLimited
from streamer_core.model import encode
from streamer_core.model.call import Outgoing
from streamer_core.model.message import Message
from streamer_core.model.request import Failure, Request, Snapshot
from streamer_core.model.update import Kind, Update

REQUEST = Request(ref="f" * 32, id="r-1", action="a", tenant="t", user="u")


def body_of(outgoing: Outgoing) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(outgoing.data)
    assert body["type"] == outgoing.type
    assert isinstance(body["timestamp"], int)
    assert body.get("request_id") == outgoing.request_id
    return body


def test_the_table() -> None:
    snapshot = Snapshot(percentage=40, message="m", attempt=2, n=3, after=7)
    shown = [
        encode.response(5, "r-1", {"x": 1}),
        encode.acknowledgment(5, REQUEST, "Stored"),
        encode.progress(5, Message(id="r-1", action="a"), "ref", snapshot),
        encode.event(5, "room:1", [1]),
        encode.welcome(5, "r-1", "c-1", {}, "streamer/1"),
        encode.resumed(5, "r-1", recovered=True, last_seq=3, more=False),
        encode.pong(5, "r-1"),
        encode.goodbye(5, "drain", 1000),
    ]
    base = {"timestamp": 5, "request_id": "r-1"}
    assert [body_of(one) for one in shown] == [
        {**base, "type": "response", "success": True, "data": {"x": 1}},
        {
            **base,
            "type": "acknowledgment",
            "ref": "f" * 32,
            "status": "queued",
            "message": "Stored",
        },
        {
            **base,
            "type": "progress",
            "percentage": 40,
            "message": "m",
            "attempt": 2,
            "n": 3,
            "after": 7,
        },
        {"type": "event", "timestamp": 5, "topic": "room:1", "data": [1]},
        {
            **base,
            "type": "welcome",
            "version": 1,
            "connection_id": "c-1",
            "limits": {},
            "server": "streamer/1",
        },
        {**base, "type": "resumed", "recovered": True, "last_seq": 3, "more": False},
        {**base, "type": "pong"},
        {"type": "goodbye", "timestamp": 5, "reason": "drain", "reconnect_after_ms": 1000},
    ]


@pytest.mark.parametrize(
    ("kind", "body", "terminal"),
    [
        (Kind.CHUNK, {"data": [1]}, False),
        (Kind.RESTART, {"keep_through_seq": 2}, False),
        (Kind.COMPLETE, {"result": None}, True),
        (Kind.ERROR, {"error": {"code": "X", "message": "m"}}, True),
    ],
)
def test_updates(kind: Kind, body: dict[str, Any], terminal: bool) -> None:
    stored = Update(seq=4, kind=kind, attempt=2, body=body, at=9)
    shown = body_of(encode.update(Message(id="r-1", action="a"), "ref", stored))
    assert shown.pop("terminal", False) is terminal
    assert shown == {
        "type": kind.value,
        "timestamp": 9,
        "request_id": "r-1",
        "seq": 4,
        "attempt": 2,
        **body,
    }


def test_metadata_of_progress_is_shown_where_there_is_some() -> None:
    snapshot = Snapshot(percentage=0, metadata={"retrying": True})
    assert body_of(encode.progress(5, Message(id="r", action="a"), "f", snapshot))["metadata"] == {
        "retrying": True
    }


def test_a_refusal() -> None:
    error = RateLimited("Too fast", details={"limit": 3}, retry_after_ms=500)
    assert body_of(encode.refused(5, None, error)) == {
        "type": "error",
        "timestamp": 5,
        "refused": True,
        "error": {
            "code": "RATE_LIMITED",
            "message": "Too fast",
            "details": {"limit": 3},
            "retry": {"retryable": True, "after_ms": 500},
        },
    }


@pytest.mark.parametrize("code", sorted(encode.RETRYABLE))
def test_retryable_codes(code: str) -> None:
    failure = Failure(attempt=1, code=code, message="m", kind="Secret", trace="secret")
    body = encode.failure_body(failure)
    assert body == {"code": code, "message": "m", "retry": {"retryable": True}}


def test_a_failure_tells_when_to_come_back() -> None:
    failure = Failure(attempt=1, code="CIRCUIT_OPEN", message="m", retry_after_ms=500)
    assert encode.failure_body(failure)["retry"] == {"retryable": True, "after_ms": 500}


def test_other_codes_are_not_retryable() -> None:
    assert encode.error_body("PROCESSING_FAILED", "m") == {
        "code": "PROCESSING_FAILED",
        "message": "m",
    }


def test_numbering_ends_where_the_store_said() -> None:
    new = [encode.new_update(Kind.CHUNK, 1, {"data": n}, n) for n in range(3)]
    assert [(one.seq, one.body["data"]) for one in encode.numbered(new, 10)] == [
        (8, 0),
        (9, 1),
        (10, 2),
    ]


class Money(BaseModel):
    amount: Decimal


@dataclass
class Point:
    x: int
    at: datetime.date


class Faulty(BaseModel):
    @computed_field  # type: ignore[prop-decorator]
    @property
    def broken(self) -> int:
        raise KeyError("a secret")


def test_richer_values() -> None:
    assert encode.plain(
        {
            "model": Money(amount=Decimal("1.50")),
            "point": Point(x=1, at=datetime.date(2026, 10, 1)),
            "set": {1},
            "tuple": (1, 2),
            "bytes": b"text",
        }
    ) == {
        "model": {"amount": "1.50"},
        "point": {"x": 1, "at": "2026-10-01"},
        "set": [1],
        "tuple": [1, 2],
        "bytes": "text",
    }


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        [float("inf")],
        {"at": {(1, 2): 3}},
        object(),
        pytest.param(_circle(), id="circle"),
        pytest.param(_nested(10_000), id="very deep"),
        pytest.param(_nested(500), id="deep"),
        pytest.param(10**5000, id="giant"),
        b"\xff",
        {1.5: Point(x=float("nan"), at=datetime.date.min)},  # type: ignore[arg-type]
        Faulty(),
        lambda: 1,
    ],
)
def test_what_json_cannot_hold(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each says it in the words of whoever found it
        encode.plain(value)


@given(st.text(st.characters()))
def test_any_text_passes(text: str) -> None:
    assert encode.plain(text) == text
    encode.encode(text).decode("ascii")


def test_plain_shares_nothing() -> None:
    given_value = {"list": [1]}
    made = encode.plain(given_value)
    given_value["list"].append(2)
    assert made == {"list": [1]}
