"""Sync requests: answered once, on the connection they came from, within their time."""

import asyncio
import json
import sys
import threading
from typing import Any

import pytest

from streamer_core import Context, Reject, handler
from streamer_core.errors import CircuitOpen, Forbidden, StoreError, TooLarge, TransportError
from streamer_core.markers import hookimpl
from streamer_core.model.counter import Count
from streamer_core.model.request import Status
from tests.conftest import Lines
from tests.unit.harness import Client, Rig, Wire, code_of, mirror

SECRET = "the whole truth"
LIMIT = 128 * 1024


def asked(rig: Rig, action: str = "a", **fields: Any) -> tuple[Client, list[Wire]]:
    client = rig.client()
    return client, client.send(action, **fields)


def test_a_response() -> None:
    @handler("a")
    def function(payload: dict[str, Any]) -> Any:
        return {"got": payload}

    rig = Rig(function)
    client = rig.client()
    answer = client.ask("a", {"x": 1}, id="r")
    assert answer == {
        "type": "response",
        "timestamp": rig.clock.now(),
        "request_id": "r",
        "success": True,
        "data": {"got": {"x": 1}},
    }
    assert not client.inbox
    assert rig.store.get(client.ref("r")) is None


def test_an_async_def() -> None:
    @handler("a")
    async def function(payload: dict[str, Any]) -> Any:
        await asyncio.sleep(0)
        return payload

    assert asked(Rig(function), payload={"x": 1})[1][0]["data"] == {"x": 1}


@pytest.mark.parametrize("fails", [False, True])
def test_the_newest_progress_comes_before_the_answer(fails: bool) -> None:
    @handler("a")
    def function(ctx: Context) -> str:
        ctx.progress(10)
        ctx.progress(80, "nearly")  # no beat of the pulse comes between here and the end
        if fails:
            raise Reject("a.no", "No")
        return "done"

    _, (newest, end) = asked(Rig(function))

    assert (newest["type"], newest["percentage"], newest["n"]) == ("progress", 80, 2)
    assert end["type"] == ("error" if fails else "response")


def test_the_newest_progress_comes_before_an_answer_to_a_timeout() -> None:
    @handler("a", timeout="1s")
    def function(ctx: Context) -> None:
        ctx.progress(10)
        ctx.progress(80)
        rig.beat(1000)

    rig = Rig(function)
    client = rig.client()
    assert client.send("a") == []

    assert [message.get("percentage") for message in client.inbox] == [80, None]


def test_progress_and_chunks_are_sent_live() -> None:
    @handler("a")
    def function(ctx: Context) -> str:
        ctx.progress(10, "one", {"k": 1})
        rig.beat()
        ctx.emit({"page": 1})
        ctx.progress(50, "two")
        rig.beat()  # too soon after the first
        ctx.progress(40, "three")
        rig.beat(200)
        ctx.checkpoint({"ignored": True})
        ctx.emit([2])
        return "done"

    rig = Rig(function)
    client, (answer,) = asked(rig, id="r")
    assert answer["data"] == "done"
    assert client.kinds == ["progress", "chunk", "progress", "chunk"]
    one, three = client.of("progress")
    assert (one["percentage"], one["message"], one["metadata"], one["after"], one["n"]) == (
        10,
        "one",
        {"k": 1},
        0,
        1,
    )
    assert (three["percentage"], three["message"], three["after"], three["n"]) == (
        50,
        "three",
        1,
        3,
    )
    assert "metadata" not in three
    assert mirror(client.inbox).output == [{"page": 1}, [2]]


class Custom(Exception):
    pass


def _raise(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (Reject("shop.empty", "Nothing left"), "shop.empty", "Nothing left"),
        (Forbidden("Not yours"), "FORBIDDEN", "Not yours"),
        (CircuitOpen("Ledger is down"), "CIRCUIT_OPEN", "Ledger is down"),
        (Custom(SECRET), "PROCESSING_FAILED", "The request failed"),
        (KeyError(SECRET), "PROCESSING_FAILED", "The request failed"),
        (RecursionError(SECRET), "PROCESSING_FAILED", "The request failed"),
        (SystemExit(SECRET), "PROCESSING_FAILED", "The request failed"),
        (KeyboardInterrupt(SECRET), "PROCESSING_FAILED", "The request failed"),
        (GeneratorExit(SECRET), "PROCESSING_FAILED", "The request failed"),
        (StoreError(SECRET), "PROCESSING_FAILED", "The request failed"),
        (asyncio.CancelledError(SECRET), "PROCESSING_FAILED", "The request failed"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("is_async", [False, True])
def test_errors(error: BaseException, code: str, message: str, is_async: bool, logs: Lines) -> None:
    @handler("a")
    def function() -> None:
        raise error

    @handler("a")
    async def async_function() -> None:
        raise error

    _, (answer,) = asked(Rig(async_function if is_async else function), id="r")
    assert code_of(answer) == code
    assert answer["error"]["message"] == message
    assert (answer["terminal"], answer["seq"], answer["request_id"]) == (True, 1, "r")
    assert "refused" not in answer
    assert SECRET not in json.dumps(answer)
    if code == "PROCESSING_FAILED":
        assert SECRET in str(logs)
        assert any(line.get("request_id") == "r" for line in logs)


def test_an_open_circuit_tells_when_to_come_back() -> None:
    @handler("a")
    def function() -> None:
        raise CircuitOpen("Ledger is down", retry_after_ms=1500)

    (answer,) = asked(Rig(function))[1]
    assert answer["error"]["retry"] == {"retryable": True, "after_ms": 1500}


def test_a_rejects_details() -> None:
    @handler("a")
    def function() -> None:
        raise Reject("shop.empty", "Nothing left", details={"until": [1]})

    assert asked(Rig(function))[1][0]["error"]["details"] == {"until": [1]}


@pytest.mark.parametrize(
    "details", [{"n": float("nan")}, {"o": object()}, {"x": "y" * LIMIT}], ids=["nan", "obj", "big"]
)
def test_details_that_cannot_be_sent_are_left_out(details: dict[str, Any]) -> None:
    @handler("a")
    def function() -> None:
        raise Reject("shop.empty", "Nothing left", details=details)

    _, (answer,) = asked(Rig(function))
    assert code_of(answer) == "shop.empty"
    assert answer["terminal"] is True
    assert "details" not in answer["error"]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (float("nan"), "PROCESSING_FAILED"),
        ({"o": object()}, "PROCESSING_FAILED"),
        ({(1, 2): 3}, "PROCESSING_FAILED"),
        ("x" * LIMIT, "PAYLOAD_TOO_LARGE"),
    ],
    ids=["nan", "object", "key", "large"],
)
def test_results_that_cannot_be_sent(value: Any, code: str) -> None:
    @handler("a")
    def function() -> Any:
        return value

    _, (answer,) = asked(Rig(function))
    assert code_of(answer) == code
    assert answer["terminal"] is True


def test_a_result_of_exactly_the_limit() -> None:
    @handler("a")
    def function(payload: dict[str, int]) -> str:
        return "x" * payload["n"]

    client = Rig(function).client()
    empty = len(client.receive(b'{"action":"a","id":"r","payload":{"n":0}}').frames[0])
    fits = b'{"action":"a","id":"r","payload":{"n":%d}}' % (LIMIT - empty)
    assert len(client.receive(fits).frames[0]) == LIMIT
    over = b'{"action":"a","id":"r","payload":{"n":%d}}' % (LIMIT - empty + 1)
    assert code_of(client.raw(over)[0]) == "PAYLOAD_TOO_LARGE"


def test_a_chunk_too_large_leaves_no_gap() -> None:
    @handler("a")
    def function(ctx: Context) -> None:
        ctx.emit(1)
        with pytest.raises(TooLarge):
            ctx.emit("x" * LIMIT)
        ctx.emit(2)

    client, _ = asked(Rig(function))
    assert mirror(client.inbox).output == [1, 2]


def test_a_busy_client_sees_no_gap() -> None:
    @handler("a")
    def function(ctx: Context) -> None:
        ctx.emit(1)
        rig.transport.busy_next(client.id, 2)
        ctx.emit(2)
        ctx.emit(3)
        raise Reject("shop.empty", "Nothing left")

    rig = Rig(function)
    client = rig.client()
    seen = mirror([*client.send("a"), *client.inbox])
    assert seen.terminal is not None
    assert seen.output == [1, 2, 3]


@pytest.mark.parametrize("timeout", ["10s", "40s"])
def test_a_handler_that_hangs_is_answered_for(timeout: str) -> None:
    """By the pulse, at its timeout or at 29 s; its late return gives no second answer."""

    @handler("a", timeout=timeout)
    def function(ctx: Context) -> str:
        due = 10_000 if timeout == "10s" else 29_000
        assert ctx.remaining == due / 1000
        rig.beat(due - 1)
        assert not client.inbox
        rig.beat(1)
        assert client.kinds == ["error"]
        assert rig.app.zombies() == 1
        ctx.emit("too late")
        ctx.progress(99)
        rig.beat(1000)
        return "too late"

    rig = Rig(function)
    client = rig.client()
    assert client.send("a", id="r") == []
    (answer,) = client.inbox
    assert code_of(answer) == "TIMEOUT"
    assert answer["error"]["retry"] == {"retryable": True}
    assert answer["terminal"] is True
    assert rig.app.zombies() == 0


def test_the_answer_to_a_timeout_is_sent_until_it_is_taken() -> None:
    @handler("a", timeout="1s")
    def function() -> None:
        rig.transport.busy_next(client.id, 2)
        rig.beat(1000)
        rig.beat(50)
        assert not client.inbox
        rig.beat(50)
        assert client.kinds == ["error"]
        rig.beat(50)

    rig = Rig(function)
    client = rig.client()
    assert client.send("a") == []
    assert client.kinds == ["error"]


def test_the_answer_to_a_timeout_goes_out_with_the_thread_at_the_latest() -> None:
    @handler("a", timeout="1s")
    def function() -> None:
        rig.transport.busy_next(client.id, 100)
        rig.beat(1000)

    rig = Rig(function)
    client = rig.client()
    assert code_of(client.ask("a")) == "TIMEOUT"
    assert not client.inbox


def test_a_handler_that_heeds_its_timeout() -> None:
    @handler("a", timeout="1s")
    def function(ctx: Context) -> None:
        rig.clock.advance(1000)
        rig.app.runtime.pulse.running[0].stop("timeout")
        ctx.raise_if_cancelled()

    rig = Rig(function)
    assert code_of(asked(rig)[1][0]) == "TIMEOUT"


def test_an_async_def_is_interrupted_by_its_timeout() -> None:
    ended = threading.Event()

    @handler("a", timeout="1s")
    async def function() -> None:
        rig.clock.advance(1000)
        beat = threading.Thread(target=rig.beat)
        beat.start()
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()
            await asyncio.to_thread(beat.join, 5)

    rig = Rig(function)
    client, answers = asked(rig)
    assert answers == []
    assert ended.is_set()
    assert code_of(client.inbox[0]) == "TIMEOUT"


def test_continue_later_is_for_queued_requests() -> None:
    @handler("a")
    def function(ctx: Context) -> None:
        ctx.continue_later({"x": 1})

    assert code_of(asked(Rig(function))[1][0]) == "PROCESSING_FAILED"


def test_a_drain_lets_it_end_and_then_answers_for_it() -> None:
    @handler("a")
    def function(ctx: Context) -> str:
        (running,) = rig.app.runtime.pulse.running
        running.stop("drain")
        assert not ctx.cancelled
        running.release()
        return "late"

    rig = Rig(function)
    client, answers = asked(rig)
    assert answers == []
    assert code_of(client.inbox[0]) == "SERVICE_UNAVAILABLE"


def test_a_client_that_went_costs_nothing() -> None:
    @handler("a")
    def function(ctx: Context) -> str:
        client.go()
        ctx.emit(1)
        rig.store.faults.fail_next("delete_connection", StoreError("no"))
        ctx.emit(2)
        return "done"

    rig = Rig(function)
    client = rig.client()
    assert client.ask("a")["data"] == "done"
    assert len(rig.seen.of("disconnect")) == 1


@pytest.mark.parametrize("error", [TransportError("x"), OSError("x")])
def test_a_transport_that_fails_costs_nothing(error: Exception) -> None:
    @handler("a")
    def function(ctx: Context) -> str:
        rig.transport.fail_next(client.id, error)
        ctx.progress(5)
        rig.beat()
        return "done"

    rig = Rig(function)
    client = rig.client()
    assert client.ask("a")["data"] == "done"


class Quota:
    """Two a day, and a gauge of what runs."""

    @hookimpl
    def streamer_admit(self, request: Any) -> list[Count] | None:
        if request is None:
            return None
        return [
            Count(key="day", limit=2),
            Count(key="running", limit=5),
            Count(key="running", amount=-1),
        ]


def test_counts_of_admission_hold_for_sync_requests_too() -> None:
    @handler("a")
    def function() -> float:
        return rig.store.count([Count(key="running", amount=0)]).levels[0]

    rig = Rig(function, plugins=[Quota()])
    client = rig.client()
    assert [client.ask("a")["data"] for _ in range(2)] == [1, 1]
    assert code_of(client.ask("a")) == "QUOTA_EXCEEDED"
    assert rig.store.count([Count(key="running", amount=0)]).levels == (0,)


# -- idempotent


def test_an_idempotent_request_runs_once() -> None:
    runs = []

    @handler("a", idempotent=True)
    def function(payload: dict[str, Any]) -> Any:
        runs.append(payload)
        return {"n": len(runs)}

    rig = Rig(function)
    client = rig.client()
    first = client.ask("a", {"x": 1}, id="r")
    again = client.ask("a", {"x": 1}, id="r")
    assert first == again
    assert (first["type"], first["data"]) == ("response", {"n": 1})
    assert len(runs) == 1
    assert not client.inbox
    assert code_of(client.ask("a", {"x": 2}, id="r")) == "DUPLICATE_REQUEST"
    assert rig.stored(client.ref("r")).status is Status.COMPLETED


def test_other_users_and_tenants_have_ids_of_their_own() -> None:
    @handler("a", idempotent=True)
    def function(ctx: Context) -> str:
        return ctx.principal.user + "@" + ctx.principal.tenant

    rig = Rig(function)
    clients = [rig.client("ann"), rig.client("bob"), rig.client("ann", tenant="other")]
    answers = [client.ask("a", id="r")["data"] for client in clients]
    assert answers == ["ann@acme", "bob@acme", "ann@other"]


def test_a_failed_idempotent_request_is_repeated_as_it_failed() -> None:
    @handler("a", idempotent=True)
    def function(ctx: Context) -> None:
        ctx.emit(1)
        raise Reject("shop.empty", "Nothing left")

    client = Rig(function).client()
    first = client.ask("a", id="r")
    assert (code_of(first), first["seq"], first["terminal"]) == ("shop.empty", 2, True)
    assert client.ask("a", id="r") == first


def test_a_repeat_while_it_runs_is_acknowledged_and_its_end_follows() -> None:
    @handler("a", idempotent=True)
    def function() -> str:
        (acknowledged,) = other.send("a", id="r")
        assert (acknowledged["type"], acknowledged["status"]) == ("acknowledgment", "processing")
        return "done"

    rig = Rig(function)
    client, other = rig.client(), rig.client()
    assert client.ask("a", id="r")["data"] == "done"
    assert [(m["type"], m["result"]) for m in other.inbox] == [("complete", "done")]
    assert not client.inbox


def test_one_that_will_be_tried_again_is_acknowledged_and_its_end_follows() -> None:
    attempts = []

    @handler("a", idempotent=True, retry={"backoff": "1s"})
    def function() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError(SECRET)
        return "done"

    rig = Rig(function)
    client, (answer,) = asked(rig, id="r")
    assert (answer["type"], answer["status"]) == ("acknowledgment", "retrying")
    rig.clock.advance(1000)
    assert rig.work() == 1
    assert client.of("complete")[0]["result"] == "done"


def test_a_hung_idempotent_request_is_answered_for_too() -> None:
    @handler("a", idempotent=True, timeout="10s", retry={"max_attempts": 1})
    def function() -> str:
        rig.beat(10_000)
        assert client.kinds == ["error"]
        return "too late"

    rig = Rig(function)
    client = rig.client()
    assert client.send("a", id="r") == []
    assert [code_of(message) for message in client.inbox] == ["TIMEOUT"]
    assert code_of(client.ask("a", id="r")) == "TIMEOUT"


@pytest.mark.parametrize("trouble", ["busy", "store"])
def test_the_answer_for_a_hung_idempotent_request_is_sent_until_it_is_taken(trouble: str) -> None:
    @handler("a", idempotent=True, timeout="10s", retry={"max_attempts": 1})
    def function() -> str:
        if trouble == "busy":
            rig.transport.busy_next(client.id, 2)
        else:
            rig.store.faults.fail_next("get", StoreError(SECRET), times=2)
        rig.beat(10_000)
        assert not client.inbox
        rig.beat(50)
        rig.beat(50)
        return "too late"

    rig = Rig(function)
    client = rig.client()
    assert client.send("a", id="r") == []
    assert [code_of(message) for message in client.inbox] == ["TIMEOUT"]


def test_the_answer_for_a_hung_idempotent_request_goes_out_with_the_thread_at_the_latest() -> None:
    @handler("a", idempotent=True, timeout="10s", retry={"max_attempts": 1})
    def function() -> str:
        rig.transport.busy_next(client.id, 1_000)
        rig.beat(10_000)
        return "too late"

    rig = Rig(function)
    client = rig.client()
    assert code_of(client.ask("a", id="r")) == "TIMEOUT"


def test_a_store_that_fails_under_one_answer_keeps_no_other_from_being_given_back() -> None:
    @handler("a", idempotent=True)
    def function() -> None:
        other = rig.app.runtime.pulse.running[0]
        rig.store.faults.fail_next("get", StoreError(SECRET))
        rig.app.drain(0)
        assert other.is_zombie

    @handler("b", idempotent=True)
    def outer() -> None:
        client.send("a", id="inner")

    rig = Rig(function, outer)
    client = rig.client()
    client.send("b", id="outer")
    for request_id in ("inner", "outer"):
        assert rig.stored(client.ref(request_id)).status is Status.PENDING


def test_a_store_that_fails_at_the_end_of_an_idempotent_request() -> None:
    @handler("a", idempotent=True)
    def function() -> str:
        return "done"

    rig = Rig(function)
    rig.store.faults.fail_next("finish", StoreError(SECRET))
    client, (answer,) = asked(rig, id="r")
    assert (answer["type"], answer["status"]) == ("acknowledgment", "processing")
    rig.clock.advance(30_000)
    rig.app.sweep()
    rig.clock.advance(1_000)
    assert rig.work() == 1
    assert client.of("complete")[0]["result"] == "done"


def test_sync_is_refused_where_it_would_take_too_long() -> None:
    @handler("a", estimated="30s")
    def function() -> None: ...

    client = Rig(function).client()
    refused = client.ask("a", options={"mode": "sync"})
    assert code_of(refused) == "VALIDATION_ERROR"
    assert refused["error"]["details"][0]["path"] == "options.mode"
    assert client.ask("a")["type"] == "acknowledgment"


def test_sync_cannot_wait() -> None:
    @handler("a")
    def function() -> None: ...

    refused = Rig(function).client().ask("a", options={"mode": "sync", "delay_ms": 5})
    assert code_of(refused) == "VALIDATION_ERROR"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_wrapper_surrounds_the_call(is_async: bool) -> None:
    order: list[Any] = []

    class Around:
        @hookimpl(wrapper=True)
        def streamer_execute(self, call: Any) -> Any:
            order.append(("before", call.handler.action, call.mode.value))
            result = yield
            order.append("after")
            return [result]

    @handler("a")
    def function() -> str:
        order.append("body")
        return "x"

    @handler("a")
    async def async_function() -> str:
        await asyncio.sleep(0)
        order.append("body")
        return "x"

    rig = Rig(async_function if is_async else function, plugins=[Around()])
    assert asked(rig)[1][0]["data"] == ["x"]
    assert order == [("before", "a", "sync"), "body", "after"]


def test_a_wrapper_that_fails_is_the_handlers_failure() -> None:
    class Around:
        @hookimpl(wrapper=True)
        def streamer_execute(self) -> Any:
            yield
            raise RuntimeError(SECRET)

    @handler("a")
    def function() -> None: ...

    assert code_of(asked(Rig(function, plugins=[Around()]))[1][0]) == "PROCESSING_FAILED"


def test_no_asyncio_for_a_plain_handler() -> None:
    """DESIGN 2: the core loads asyncio for the first `async def` handler only."""
    import subprocess

    code = "import sys, streamer_core; sys.exit('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_client_that_takes_nothing_ends_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    @handler("a")
    def function(ctx: Context) -> None:
        rig.transport.busy_next(client.id, 1000)
        ctx.emit(1)

    waits: list[float] = []
    monkeypatch.setattr("streamer_core.engine.deliver.time.sleep", waits.append)
    rig = Rig(function)
    client = rig.client()
    assert code_of(client.ask("a")) == "SERVICE_UNAVAILABLE"
    assert 0.9 < sum(waits) < 1.1


def test_an_async_def_asked_to_stop_before_it_began_is_interrupted() -> None:
    class Early:
        @hookimpl(wrapper=True)
        def streamer_execute(self) -> Any:
            rig.pulse.running[0].stop("timeout")
            return (yield)

    @handler("a")
    async def function() -> None:
        await asyncio.sleep(30)

    rig = Rig(function, plugins=[Early()])
    assert code_of(asked(rig)[1][0]) == "TIMEOUT"


def test_counts_that_cannot_be_settled_cost_no_answer(logs: Lines) -> None:
    @handler("a")
    def function() -> str:
        rig.store.faults.fail_next("count", StoreError(SECRET))
        return "done"

    rig = Rig(function, plugins=[Quota()])
    assert asked(rig)[1][0]["data"] == "done"
    assert logs[0]["keys"] == ["running"]
