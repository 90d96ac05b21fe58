"""Who goes on and on is sent away."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from streamer_core.testing import ManualClock, MemoryStore

Start = Callable[..., Any]


def closed_after(process: Any, connection: Any, most: int) -> int | None:
    """Send until the connection is closed; give how many refusals that took, or None."""
    for n in range(1, most + 1):
        received = process.receive(connection)
        if received.close is not None:
            assert received.close == (1008, "too many refused messages")
            error, goodbye = map(json.loads, received.frames)
            assert error["error"]["code"] == "RATE_LIMITED"
            assert goodbye["type"] == "goodbye"
            assert goodbye["reconnect_after_ms"] == error["error"]["retry"]["after_ms"]
            return n
    return None


def test_a_connection_is_closed_after_so_many(start: Start) -> None:
    process = start({"rate": "1/d"})
    ann, other = process.connect(), process.connect()
    assert process.send(ann) is None
    assert closed_after(process, ann, 200) == 100
    assert process.measured.named("ratelimit.closed") == [{}]
    assert closed_after(process, other, 99) is None, "another connection of the same user"


@pytest.mark.parametrize("limit", [{}, {"actions": ["*"]}, {"by": ["connection", "action"]}])
def test_what_no_handler_gets_counts_too(start: Start, limit: dict[str, Any]) -> None:
    process = start({"rate": "2/d", **limit}, close_after=3)
    ann = process.connect()
    sent = [b"{", b'{"action": "nobody-1"}', b'{"action": "nobody-2"}', b"\xff", b"[]"]
    received = [process.app.receive(ann, data) for data in sent]
    codes = [json.loads(one.frames[0])["error"]["code"] for one in received]
    assert codes == ["INVALID_MESSAGE", "INVALID_ACTION", *["RATE_LIMITED"] * 3]
    assert [one.close is not None for one in received] == [False] * 4 + [True]


def test_a_limit_of_some_actions_is_not_about_it(start: Start) -> None:
    process = start({"rate": "2/d", "actions": ["other"]})
    ann = process.connect()
    for _ in range(5):
        received = process.app.receive(ann, b"{")
        assert json.loads(received.frames[0])["error"]["code"] == "INVALID_MESSAGE"
    assert process.passed(ann, 5) == 2


def test_how_many_is_a_setting(start: Start) -> None:
    for after in (1, 2, 7, 25):
        process = start({"rate": "1/d"}, close_after=after)
        ann = process.connect()
        assert process.send(ann) is None
        found = closed_after(process, ann, 100)
        assert found is not None
        assert after <= found < after + max(1, after // 10)


def test_never_is_a_setting(start: Start) -> None:
    process = start({"rate": "1/d"}, close_after=0)
    assert process.passed(process.connect(), 500) == 1


def test_refusals_that_lie_apart_are_forgiven(start: Start, clock: ManualClock) -> None:
    process = start({"rate": "1/d"}, close_after=10, close_within="10s")
    ann = process.connect()
    assert process.send(ann) is None
    for _ in range(100):
        clock.advance(1000)
        assert closed_after(process, ann, 1) is None
    assert closed_after(process, ann, 20) is not None


def test_refusals_are_counted_over_all_processes(start: Start, clock: ManualClock) -> None:
    store = MemoryStore(clock)
    processes = [start({"rate": "1/d"}, store=store, close_after=20) for _ in range(4)]
    ann = processes[0].connect()
    assert processes[0].send(ann) is None
    refused = 0
    while processes[refused % 4].receive(ann).close is None:
        refused += 1
    assert 20 <= refused + 1 <= 20 + 4 * (20 // 10 - 1)
