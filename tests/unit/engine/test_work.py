"""A claimed request: run, settled once, tried again, given back, cancelled."""

import asyncio
import json
import threading
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from streamer_core import Concurrency, Context, Reject, handler
from streamer_core.context import Stopped
from streamer_core.errors import CircuitOpen, Invalid, LostLease, StoreError, Unavailable
from streamer_core.handlers import declared
from streamer_core.markers import hookimpl
from streamer_core.model.call import Call
from streamer_core.model.counter import Count
from streamer_core.model.policy import Again, GiveUp
from streamer_core.model.request import Status
from tests.conftest import Lines
from tests.unit.harness import Client, Rig, Wire, code_of, interrupting, mirror

SECRET = "the whole truth"


def queued(rig: Rig, request_id: str = "r", action: str = "a", **fields: Any) -> Client:
    client = rig.client()
    assert client.ask(action, id=request_id, **fields)["type"] == "acknowledgment"
    return client


def status_of(client: Client, request_id: str = "r") -> Status:
    return client.rig.stored(client.ref(request_id)).status


def retry_at(rig: Rig, client: Client) -> int:
    """Go to the time of the next attempt; gives how far it was."""
    wait = rig.stored(client.ref("r")).due_at - rig.clock.now()
    rig.clock.advance(max(0, wait))
    return wait


@pytest.mark.parametrize("is_async", [False, True])
def test_a_result(is_async: bool) -> None:
    @handler("a", mode="async")
    def function(payload: dict[str, Any]) -> Any:
        return {"got": payload}

    @handler("a", mode="async")
    async def async_function(payload: dict[str, Any]) -> Any:
        await asyncio.sleep(0)
        return {"got": payload}

    rig = Rig(async_function if is_async else function)
    client = queued(rig, payload={"x": 1})
    assert rig.work() == 1
    assert list(client.inbox) == [
        {
            "type": "complete",
            "timestamp": rig.clock.now(),
            "request_id": "r",
            "seq": 1,
            "attempt": 1,
            "result": {"got": {"x": 1}},
            "terminal": True,
        }
    ]
    request = rig.stored(client.ref("r"))
    assert (request.status, request.sent_seq, request.outcome) == (
        Status.COMPLETED,
        1,
        {"result": {"got": {"x": 1}}},
    )
    assert request.expires_at == rig.clock.now() + 7 * 86_400_000
    assert rig.seen.moves == [
        (None, Status.PENDING),
        (Status.PENDING, Status.PROCESSING),
        (Status.PROCESSING, Status.COMPLETED),
    ]


def test_what_a_context_knows() -> None:
    @handler("a", mode="async", timeout="2m")
    def function(ctx: Context) -> Any:
        return [
            ctx.request_id,
            ctx.ref,
            ctx.action,
            ctx.principal.user,
            ctx.attempt,
            dict(ctx.metadata),
            ctx.deadline,
            ctx.remaining,
            ctx.restored,
            ctx.cancelled,
        ]

    rig = Rig(function)
    client = queued(rig, metadata={"v": "1"})
    rig.work()
    assert client.inbox[0]["result"] == [
        "r",
        client.ref("r"),
        "a",
        "ann",
        1,
        {"v": "1"},
        rig.clock.now() + 120_000,
        120,
        None,
        False,
    ]


def test_one_by_its_key() -> None:
    @handler("a", mode="async")
    def function() -> None: ...

    rig = Rig(function)
    client = queued(rig)
    assert rig.app.run(client.ref("r"))
    assert not rig.app.run(client.ref("r"))
    assert not rig.app.run("nothing")


def test_a_draining_worker_takes_nothing() -> None:
    @handler("a", mode="async")
    def function() -> None: ...

    rig = Rig(function)
    client = queued(rig)
    rig.app.runtime.draining.set()
    assert not rig.app.work()
    assert not rig.app.run(client.ref("r"))
    assert status_of(client) is Status.PENDING


# -- failing


class Custom(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "code", "tries"),
    [
        (Custom(SECRET), "PROCESSING_FAILED", 3),
        (RecursionError(SECRET), "PROCESSING_FAILED", 3),
        (SystemExit(SECRET), "PROCESSING_FAILED", 3),
        (KeyboardInterrupt(SECRET), "PROCESSING_FAILED", 3),
        (StoreError(SECRET), "PROCESSING_FAILED", 3),
        (Unavailable("Later"), "SERVICE_UNAVAILABLE", 3),
        (Reject("shop.empty", "Nothing left"), "shop.empty", 1),
        (Invalid("Wrong"), "VALIDATION_ERROR", 1),
        (KeyError(SECRET), "PROCESSING_FAILED", 1),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("is_async", [False, True])
def test_which_errors_are_tried_again(
    error: BaseException, code: str, tries: int, is_async: bool, logs: Lines
) -> None:
    attempts = []

    @handler("a", mode="async", retry={"never": KeyError})
    def function(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        raise error

    @handler("a", mode="async", retry={"never": KeyError})
    async def async_function(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        raise error

    rig = Rig(async_function if is_async else function)
    client = queued(rig)
    while rig.work():
        retry_at(rig, client)
    assert attempts == list(range(1, tries + 1))
    request = rig.stored(client.ref("r"))
    assert request.status is Status.FAILED
    assert [failure.attempt for failure in request.failures] == attempts
    (terminal,) = [message for message in client.inbox if "terminal" in message]
    assert code_of(terminal) == code
    assert SECRET not in json.dumps(list(client.inbox))
    (dead,) = rig.seen.of("dead_letter")
    assert dead["failure"].attempt == tries
    if code == "PROCESSING_FAILED":
        assert SECRET in request.failures[0].trace
        assert SECRET in str(logs)


def test_only_what_is_named_is_tried_again() -> None:
    @handler("a", mode="async", retry={"on": OSError})
    def function(payload: dict[str, Any]) -> None:
        raise TimeoutError if payload["os"] else ValueError

    rig = Rig(function)
    client = queued(rig, payload={"os": True})
    queued(rig, "s", payload={"os": False})
    rig.work()
    assert status_of(client) is Status.RETRYING
    assert status_of(client, "s") is Status.FAILED


def test_a_retry_is_told_as_progress() -> None:
    @handler("a", mode="async")
    def function(ctx: Context) -> None:
        ctx.progress(30, "third")
        raise OSError(SECRET)

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    due_at = rig.stored(client.ref("r")).due_at
    (told,) = client.inbox
    assert told["metadata"] == {"retrying": True, "next_attempt_at": due_at}
    assert (told["type"], told["percentage"], told["attempt"]) == ("progress", 30, 1)


def test_backoff_with_full_jitter() -> None:
    @handler("a", mode="async", retry={"max_attempts": 8, "backoff": "1s", "backoff_cap": "10s"})
    def function() -> None:
        raise OSError

    rig = Rig(function)
    client = queued(rig)
    twin = type(rig.clock)()
    for _ in range(3):  # ids that the rig took from the same chance
        twin.new_id()
    waits = []
    while rig.work():
        waits.append(retry_at(rig, client))
    longest = [1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]
    assert len(waits) == 8
    assert all(0 <= wait <= most for wait, most in zip(waits, longest, strict=False))
    assert len(set(waits[:7])) == 7


def test_a_huge_number_of_attempts_is_no_huge_number() -> None:
    @handler("a", mode="async", retry={"max_attempts": 10**9, "backoff": 0})
    def function() -> None:
        raise OSError

    rig = Rig(function)
    client = queued(rig)
    for _ in range(70):  # 2**64 and on
        assert rig.app.work()
    assert status_of(client) is Status.RETRYING


def test_no_attempt_begins_after_the_most_age() -> None:
    @handler("a", mode="async", retry={"max_attempts": 99, "max_age": "10s", "backoff": "4s"})
    def function() -> None:
        raise OSError

    rig = Rig(function)
    client = queued(rig)
    began = rig.clock.now()
    while rig.work():
        assert rig.clock.now() <= began + 10_000
        retry_at(rig, client)
        rig.clock.advance(1000)
    assert status_of(client) is Status.FAILED


def test_age_counts_from_when_it_was_due() -> None:
    @handler("a", mode="async", retry={"max_age": "10s"})
    def function() -> None:
        raise OSError

    rig = Rig(function)
    client = queued(rig, options={"delay_ms": 60_000})
    rig.clock.advance(60_000)
    rig.work()
    assert status_of(client) is Status.RETRYING


def test_a_plugin_may_decide_about_retries() -> None:
    class Decider:
        @hookimpl
        def streamer_retry(self, failure: Any) -> Any:
            return Again(delay_ms=5) if failure.attempt == 1 else GiveUp()

    @handler("a", mode="async", retry={"max_attempts": 9})
    def function() -> None:
        raise Reject("shop.empty", "Nothing left")

    rig = Rig(function, plugins=[Decider()])
    client = queued(rig)
    rig.work()
    assert retry_at(rig, client) == 5
    rig.work()
    assert status_of(client) is Status.FAILED


def test_where_a_decider_breaks_the_cores_policy_decides(logs: Lines) -> None:
    class Decider:
        @hookimpl
        def streamer_retry(self) -> Any:
            raise RuntimeError(SECRET)

    @handler("a", mode="async")
    def function() -> None:
        raise OSError

    rig = Rig(function, plugins=[Decider()])
    client = queued(rig)
    assert rig.work() == 1
    assert status_of(client) is Status.RETRYING
    assert SECRET in str(logs)


# -- what cannot be stored or sent


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (float("nan"), "PROCESSING_FAILED"),
        ([object()], "PROCESSING_FAILED"),
        ("x" * 131_072, "PAYLOAD_TOO_LARGE"),
    ],
    ids=["nan", "object", "large"],
)
def test_results_that_cannot_be_kept(value: Any, code: str) -> None:
    @handler("a", mode="async")
    def function() -> Any:
        return value

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    assert code_of(client.inbox[0]) == code
    assert status_of(client) is Status.FAILED


@pytest.mark.parametrize("details", [{"n": float("inf")}, {"o": object()}, {"x": "y" * 131_072}])
def test_details_that_cannot_be_kept_are_left_out(details: dict[str, Any]) -> None:
    @handler("a", mode="async")
    def function() -> None:
        raise Reject("shop.empty", "Nothing left", details=details)

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    assert client.inbox[0]["error"] == {"code": "shop.empty", "message": "Nothing left"}


@pytest.mark.parametrize("length", [1000, 200_000])
def test_a_long_message_does_not_keep_the_end_from_the_client(length: int) -> None:
    @handler("a", mode="async")
    def function() -> None:
        raise Reject("shop.empty", "é" * length)

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    assert client.kinds == ["error"]


def test_a_payload_that_fits_no_more() -> None:
    class Model(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def _breaks(cls, n: int) -> int:
            if n == 13:
                raise KeyError(SECRET)
            return n

    @handler("a", mode="async")
    def old(payload: dict[str, Any]) -> None: ...

    @handler("a", mode="async", retry={"max_attempts": 1})
    def new(payload: Model) -> None: ...

    rig = Rig(old)
    client = queued(rig, payload={"n": "x"})
    queued(rig, "s", payload={"n": 13})
    after_deploy = Rig(new, beside=rig)
    after_deploy.work()
    codes = [code_of(message) for message in client.inbox]
    assert codes == ["VALIDATION_ERROR"]
    assert status_of(client, "s") in {Status.RETRYING, Status.FAILED}


def test_an_action_that_nobody_knows_waits_and_then_fails() -> None:
    @handler("a", mode="async", retry={"max_age": "1m"})
    def function() -> None: ...

    rig = Rig(function)
    client = queued(rig)
    other = Rig(beside=rig)
    assert other.work() == 1
    request = rig.stored(client.ref("r"))
    assert (request.status, request.spent) == (Status.PENDING, 0)
    assert request.due_at == rig.clock.now() + 10_000
    rig.clock.advance(60_000)
    other.work()
    assert code_of(client.inbox[-1]) == "INVALID_ACTION"


def test_an_unknown_action_waits_for_the_deploy() -> None:
    @handler("a", mode="async", retry={"max_age": "1m"})
    def function() -> str:
        return "done"

    rig = Rig(function)
    client = queued(rig, options={"delay_ms": 3_600_000})
    rig.clock.advance(3_600_000)
    Rig(beside=rig).work()
    rig.clock.advance(10_000)
    rig.work()
    assert client.inbox[-1]["result"] == "done"


# -- attempts that begin again


def test_a_restart_keeps_what_stands_behind_the_checkpoint() -> None:
    @handler("a", mode="async", retry={"max_attempts": 9})
    def function(ctx: Context) -> str:
        page = (ctx.restored or {"page": 0})["page"]
        for number in range(page, 6):
            ctx.emit(f"{number} of attempt {ctx.attempt}")
            if number % 2:
                ctx.checkpoint({"page": number + 1})
            if number == 4 and ctx.attempt == 1:
                rig.beat(50)
                raise OSError
        return "done"

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    retry_at(rig, client)
    rig.work()
    (restart,) = client.of("restart")
    assert (restart["attempt"], restart["seq"], restart["keep_through_seq"]) == (2, 6, 4)
    seen = mirror(client.inbox)
    assert seen.output == [f"{n} of attempt {1 if n < 4 else 2}" for n in range(6)]
    assert seen.terminal is not None


def test_no_restart_where_nothing_is_to_be_forgotten() -> None:
    @handler("a", mode="async")
    def function(ctx: Context) -> None:
        if ctx.attempt == 1:
            ctx.emit(1)
            ctx.checkpoint(None)
            raise OSError

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    retry_at(rig, client)
    rig.work()
    assert client.of("restart") == []


def test_what_a_failed_attempt_had_not_stored_is_not_stored() -> None:
    @handler("a", mode="async")
    def function(ctx: Context) -> None:
        ctx.emit(ctx.attempt)
        ctx.progress(50)
        if ctx.attempt == 1:
            raise OSError

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    (told,) = client.inbox
    assert told["after"] == 0
    assert rig.stored(client.ref("r")).last_seq == 0
    retry_at(rig, client)
    rig.work()
    assert mirror(client.inbox).output == [2]


# -- continuing, waiting, giving back


def test_continue_later_with_a_state() -> None:
    @handler("a", mode="async", retry={"max_attempts": 1})
    def function(ctx: Context) -> str:
        page = (ctx.restored or {"page": 0})["page"]
        ctx.emit(page)
        ctx.progress(page * 30, f"page {page}")
        if page < 3:
            ctx.continue_later({"page": page + 1}, after="10s")
        return "done"

    rig = Rig(function)
    client = queued(rig)
    for page in range(3):
        assert rig.work() == 1
        request = rig.stored(client.ref("r"))
        assert (request.status, request.spent, request.attempt) == (Status.PENDING, 0, 1)
        assert client.of("progress")[-1]["message"] == f"page {page}"
        rig.clock.advance(10_000)
    rig.work()
    seen = mirror(client.inbox)
    assert seen.output == [0, 1, 2, 3]
    assert client.of("restart") == []
    progress = client.of("progress")
    assert [one["n"] for one in progress] == [1, 2, 3, 4]


def test_continue_later_without_a_state_goes_on_from_the_checkpoint() -> None:
    runs = []

    @handler("a", mode="async")
    def function(ctx: Context) -> None:
        runs.append(ctx.restored)
        if len(runs) == 1:
            ctx.emit("kept")
            ctx.checkpoint("one")
            ctx.emit("forgotten")
            rig.beat(50)
            ctx.emit("never stored")
            ctx.progress(50)
            ctx.continue_later()
        ctx.emit("again")

    rig = Rig(function)
    client = queued(rig)
    assert rig.work() == 2
    assert runs == [None, "one"]
    seen = mirror(client.inbox)
    assert seen.output == ["kept", "again"]
    assert seen.progress is not None
    assert seen.progress["after"] <= 2


def test_continue_later_with_what_json_cannot_hold() -> None:
    @handler("a", mode="async")
    def function(ctx: Context) -> None:
        ctx.continue_later({"o": object()})

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    assert code_of(client.inbox[0]) == "PROCESSING_FAILED"


def test_an_open_circuit_waits_without_an_attempt() -> None:
    opened: list[int] = []

    @handler("a", mode="async", retry={"max_attempts": 1})
    def function(ctx: Context) -> str:
        if len(opened) < 2:
            opened.append(rig.clock.now())
            ctx.emit("before")
            rig.beat(50)
            raise CircuitOpen("Down", retry_after_ms=7000 if opened == [0] else None)
        return "done"

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    request = rig.stored(client.ref("r"))
    assert (request.status, request.spent, request.failures) == (Status.PENDING, 0, ())
    assert request.due_at == rig.clock.now() + 5000
    for _ in range(2):
        retry_at(rig, client)
        rig.work()
    seen = mirror(client.inbox)
    assert seen.terminal is not None
    assert seen.output == []


def test_ctx_circuit_guards_where_somebody_knows_circuits() -> None:
    class Circuits:
        @hookimpl
        def streamer_circuit(self, name: str, deadline: int) -> Any:
            assert (name, deadline - rig.clock.now()) == ("ledger", 300_000)
            raise CircuitOpen("Down", retry_after_ms=9000)

    @handler("a", mode="async")
    def function(ctx: Context) -> str:
        with ctx.circuit("ledger"):
            return "done"

    plain = Rig(function)
    client = queued(plain)
    plain.work()
    assert client.inbox[0]["result"] == "done"
    rig = Rig(function, plugins=[Circuits()])
    client = queued(rig)
    rig.work()
    assert retry_at(rig, client) == 9000


def test_a_drain_gives_back_without_an_attempt() -> None:
    @handler("a", mode="async", retry={"max_attempts": 1})
    def function(ctx: Context) -> str:
        if not drained:
            drained.append(True)
            ctx.emit("half")
            rig.beat(50)
            (running,) = rig.pulse.running
            running.stop("drain")
            ctx.raise_if_cancelled()
        return "done"

    drained: list[bool] = []
    rig = Rig(function)
    client = queued(rig)
    assert rig.app.work()
    request = rig.stored(client.ref("r"))
    assert (request.status, request.spent, request.worker) == (Status.PENDING, 0, None)
    other = Rig(function, beside=rig)
    other.work()
    assert mirror(client.inbox).output == []
    assert client.inbox[-1]["result"] == "done"


def test_what_is_claimed_while_a_drain_begins_and_ends_is_given_back() -> None:
    """The drain has found nothing to stop, and nobody would stop it when the worker goes."""

    @handler("a", mode="async", retry={"max_attempts": 1})
    def function() -> str:
        ran.append(True)
        return "done"

    ran: list[bool] = []
    rig = Rig(function)
    client = queued(rig)
    with interrupting(rig.store, "claim_next", lambda: rig.app.drain(0)):
        assert rig.app.work()
    request = rig.stored(client.ref("r"))
    assert (ran, request.status, request.spent) == ([], Status.PENDING, 0)
    assert not rig.pulse.running


@pytest.mark.parametrize("comes", ["the timeout", "a cancel", "a drain"])
def test_what_comes_between_an_end_and_its_write_does_not_undo_it(comes: str) -> None:
    """Those that end together are stored together: a handler's end may wait for others'."""

    @handler("a", mode="async", timeout="1m", retry={"max_attempts": 2})
    def function() -> str:
        return "done"

    rig = Rig(function)
    client = queued(rig)
    (request,) = rig.app.claim(1)
    ran = rig.app.execute(request)
    match comes:
        case "the timeout":
            rig.beat(60_000)
        case "a cancel":
            client.ask("streamer.cancel", {"request_id": "r"})
            rig.beat(10_000)
            rig.beat(30_000)
        case _:
            rig.app.drain(0)
    rig.app.settle([ran])
    assert client.inbox[-1]["result"] == "done"


def test_timeouts_of_busy_clients_hold_up_no_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    @handler("a", mode="async", timeout="10s", retry={"max_attempts": 1})
    def function(ctx: Context) -> None:
        rig.transport.busy_next(client.id, 2)
        rig.beat(10_000)
        assert not client.inbox
        rig.beat(50)
        assert [code_of(message) for message in client.inbox] == ["TIMEOUT"]

    def sleep(_: float) -> None:
        slept.append(True)

    slept: list[bool] = []
    monkeypatch.setattr("streamer_core.engine.finish.time.sleep", sleep)
    rig = Rig(function)
    client = queued(rig)
    rig.work()
    request = rig.stored(client.ref("r"))
    assert (slept, request.sent_seq) == ([], request.last_seq)


def test_a_worker_that_goes_leaves_its_thread_behind() -> None:
    @handler("a", mode="async")
    def function(ctx: Context) -> str:
        (running,) = rig.pulse.running
        running.release()
        assert rig.app.zombies() == 1
        ctx.emit("nobody hears it")
        assert rig.pulse.running[0] is running
        return "late"

    rig = Rig(function)
    client = queued(rig)
    assert rig.app.work()
    assert status_of(client) is Status.PENDING
    assert not client.inbox
    assert rig.app.zombies() == 0


def test_drain_waits_then_asks_then_goes() -> None:
    heard, go = threading.Event(), threading.Event()

    @handler("a", mode="async")
    def function(ctx: Context) -> str:
        started.set()
        while not ctx.cancelled:
            go.wait(0.005)
        heard.set()
        return "not kept"

    started = threading.Event()
    rig = Rig(function)
    client = queued(rig)
    worker = threading.Thread(target=rig.app.work)
    worker.start()
    assert started.wait(5)
    drain = threading.Thread(target=rig.app.drain, args=[10])
    drain.start()
    rig.clock.advance(4_000)
    assert not heard.wait(0.05)
    rig.clock.advance(1_000)
    assert heard.wait(5)
    for thread in (worker, drain):
        thread.join(5)
        assert not thread.is_alive()
    assert status_of(client) is Status.PENDING
    assert code_of(client.ask("a")) == "SERVICE_UNAVAILABLE"


# -- timeouts


def test_a_timeout_is_settled_without_the_thread() -> None:
    @handler("a", mode="async", timeout="10s", retry={"max_attempts": 2, "backoff": 0})
    def function(ctx: Context) -> str:
        if ctx.attempt == 1:
            rig.beat(10_000)
            assert (status_of(client), rig.app.zombies()) == (Status.RETRYING, 1)
            assert ctx.remaining == 0
            ctx.emit("late")
            rig.beat(1000)
        return f"attempt {ctx.attempt}"

    rig = Rig(function)
    client = queued(rig)
    assert rig.work() == 2
    assert rig.app.zombies() == 0
    assert [one["result"] for one in client.of("complete")] == ["attempt 2"]
    assert client.of("chunk") == []
    assert client.of("error") == []
    assert rig.stored(client.ref("r")).failures[0].code == "TIMEOUT"


def test_the_last_timeout_is_told() -> None:
    @handler("a", mode="async", timeout="10s", retry={"max_attempts": 1})
    def function() -> None:
        rig.beat(10_000)

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    (end,) = client.inbox
    assert (code_of(end), end["error"]["retry"]) == ("TIMEOUT", {"retryable": True})


def test_a_normal_end_is_never_a_zombie() -> None:
    @handler("a", mode="async")
    def function() -> None: ...

    zombies = []
    rig = Rig(function)
    queued(rig)
    with interrupting(rig.store, "finish", lambda: zombies.append(rig.app.zombies())):
        rig.work()
    assert zombies == [0]


# -- cancelling


def test_a_waiting_request_is_cancelled_at_once() -> None:
    @handler("a", mode="async")
    def function() -> None: ...

    rig = Rig(function)
    client = queued(rig)
    answer, follows = client.send("streamer.cancel", {"request_id": "r"})
    assert answer["data"]["status"] == "cancelled"
    assert rig.work() == 0
    (end,) = client.inbox
    assert follows == end
    assert (code_of(end), end["terminal"], end["seq"]) == ("CANCELLED", True, 1)
    assert rig.seen.moves[-1] == (Status.PENDING, Status.CANCELLED)


def test_a_running_handler_is_asked() -> None:
    @handler("a", mode="async")
    def function(ctx: Context) -> str:
        assert not ctx.cancelled
        answer = client.ask("streamer.cancel", {"request_id": "r"})
        assert (answer["data"]["status"], answer["data"]["cancel_requested"]) == (
            "processing",
            True,
        )
        assert not ctx.cancelled
        rig.beat(2000)
        assert ctx.cancelled
        return "not kept"

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    assert [code_of(message) for message in client.inbox] == ["CANCELLED"]
    assert rig.seen.moves[-1] == (Status.PROCESSING, Status.CANCELLED)
    assert rig.seen.of("dead_letter") == []


def test_raise_if_cancelled() -> None:
    raised: list[str] = []

    @handler("a", mode="async")
    def function(ctx: Context) -> None:
        ctx.raise_if_cancelled()
        client.ask("streamer.cancel", {"request_id": "r"})
        ctx.checkpoint(1)  # each write of the holder learns of it
        try:
            ctx.raise_if_cancelled()
        except Stopped as error:
            raised.append(str(error))
            raise

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    assert raised == ["cancel"]
    assert code_of(client.inbox[-1]) == "CANCELLED"


def test_a_handler_that_ignores_it_is_left_behind() -> None:
    @handler("a", mode="async", timeout="10m")
    def function(ctx: Context) -> str:
        client.ask("streamer.cancel", {"request_id": "r"})
        rig.beat(2000)
        rig.beat(29_999)
        assert status_of(client) is Status.PROCESSING
        rig.beat(1)
        assert status_of(client) is Status.CANCELLED
        assert rig.app.zombies() == 1
        return "too late"

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    assert [code_of(message) for message in client.inbox] == ["CANCELLED"]


def test_the_sweeper_ends_it_where_its_worker_does_not() -> None:
    @handler("a", mode="async", timeout="10m")
    def function(ctx: Context) -> str:
        client.ask("streamer.cancel", {"request_id": "r"})
        rig.clock.advance(29_000)
        assert other.app.sweep().cancelled == 0
        rig.clock.advance(1_001)
        assert other.app.sweep().cancelled == 1
        assert [code_of(message) for message in client.inbox] == ["CANCELLED"]
        with pytest.raises(LostLease):
            ctx.checkpoint(1)
        assert ctx.cancelled
        return "too late"

    rig = Rig(function)
    other = Rig(function, beside=rig)
    client = queued(rig)
    rig.work()
    assert status_of(client) is Status.CANCELLED
    assert len(client.inbox) == 1


@pytest.mark.parametrize("verb", ["finish", "requeue"])
def test_a_cancel_that_races_the_end(verb: str) -> None:
    """One terminal message, whoever wins."""

    @handler("a", mode="async")
    def function() -> str:
        if verb == "requeue":
            raise OSError
        return "done"

    rig = Rig(function)
    client = queued(rig)

    def cancel() -> None:
        client.ask("streamer.cancel", {"request_id": "r"})

    with interrupting(rig.store, verb, cancel):
        rig.work()
    (end,) = [message for message in client.inbox if "terminal" in message]
    expected = "complete" if verb == "finish" else "error"
    assert end["type"] == expected
    assert rig.work() == 0


def test_a_cancel_that_comes_after_the_failure_of_an_attempt_ends_the_request() -> None:
    """It is no dead letter: the failure alone would have been tried again."""

    @handler("a", mode="async", retry={"max_attempts": 3})
    def function() -> None:
        raise OSError

    rig = Rig(function)
    client = queued(rig)
    (request,) = rig.app.claim(1)
    ran = rig.app.execute(request)
    client.ask("streamer.cancel", {"request_id": "r"})
    rig.beat(10_000)
    rig.app.settle([ran])
    assert status_of(client) is Status.CANCELLED
    assert [code_of(message) for message in client.inbox] == ["CANCELLED"]
    assert not rig.seen.of("dead_letter")


def test_a_cancelled_continuation_sends_the_newest_progress_before_its_end() -> None:
    @handler("a", mode="async")
    def function(ctx: Context) -> None:
        ctx.progress(90, "newest")
        client.ask("streamer.cancel", {"request_id": "r"})
        ctx.continue_later()

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    assert client.kinds == ["progress", "error"]


def test_what_was_put_out_before_a_cancelled_continuation_is_kept() -> None:
    @handler("a", mode="async")
    def function(ctx: Context) -> None:
        ctx.emit("kept")
        client.ask("streamer.cancel", {"request_id": "r"})
        ctx.continue_later({"page": 2})

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    seen = mirror(client.inbox)
    assert seen.output == ["kept"]
    assert seen.terminal is not None
    assert code_of(seen.terminal) == "CANCELLED"


def test_the_end_wins_over_a_cancel_that_comes_after_it() -> None:
    @handler("a", mode="async")
    def function() -> str:
        return "done"

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    other = rig.client()
    response, end = other.send("streamer.cancel", {"request_id": "r"})
    assert response["data"]["status"] == "completed"
    assert end == client.inbox[0]


def test_an_async_def_sees_a_cancelled_error() -> None:
    seen: list[str] = []

    @handler("a", mode="async")
    async def function(ctx: Context) -> None:
        client.ask("streamer.cancel", {"request_id": "r"})
        beat = threading.Thread(target=rig.beat, args=[2000])
        beat.start()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            beat.join(5)

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    assert seen == ["cancelled"]
    assert code_of(client.inbox[-1]) == "CANCELLED"


def test_a_request_cancelled_while_its_worker_was_gone_does_not_run_again() -> None:
    @handler("a", mode="async")
    def function() -> None:
        raise AssertionError("it was cancelled")

    rig = Rig(function)
    client = queued(rig)
    rig.claim(client.ref("r"))
    client.ask("streamer.cancel", {"request_id": "r"})
    rig.clock.advance(30_000)
    assert rig.app.sweep().lapsed == 1
    assert status_of(client) is Status.CANCELLED
    assert [code_of(message) for message in client.inbox] == ["CANCELLED"]


# -- leases, fences, two workers


def test_a_heartbeat_extends_the_lease() -> None:
    @handler("a", mode="async")
    def function() -> None:
        first = rig.stored(client.ref("r")).lease_until
        rig.beat(1999)
        assert rig.stored(client.ref("r")).lease_until == first
        rig.beat(1)
        assert rig.stored(client.ref("r")).lease_until == rig.clock.now() + 30_000

    rig = Rig(function)
    client = queued(rig)
    rig.work()
    assert status_of(client) is Status.COMPLETED


def test_a_lost_lease_changes_nothing() -> None:
    @handler("a", mode="async")
    def function(ctx: Context) -> str:
        if rig.work_started:
            return "second"
        rig.work_started = True
        ctx.emit("before")
        rig.clock.advance(30_000)
        assert other.app.sweep().lapsed == 1
        rig.clock.advance(1_000)
        assert other.app.work()
        rig.beat(2_000)
        assert ctx.cancelled
        with pytest.raises(LostLease):
            ctx.checkpoint({"stale": True})
        ctx.emit("after")
        ctx.progress(99)
        return "first"

    class Watched(Rig):
        work_started = False

    rig = Watched(function)
    other = Rig(function, beside=rig)
    client = queued(rig)
    assert rig.app.work()
    assert status_of(client) is Status.COMPLETED
    seen = mirror(client.inbox)
    assert seen.terminal is not None
    assert seen.terminal["result"] == "second"
    assert rig.stored(client.ref("r")).checkpoint is None
    assert len([m for m in client.inbox if "terminal" in m]) == 1


def test_two_workers_share_what_is_due() -> None:
    ran: list[tuple[str, str]] = []

    @handler("a", mode="async")
    def mine(ctx: Context) -> None:
        ran.append(("one", ctx.request_id))

    @handler("a", mode="async")
    def theirs(ctx: Context) -> None:
        ran.append(("two", ctx.request_id))

    rig = Rig(mine)
    other = Rig(theirs, beside=rig)
    for number in range(6):
        queued(rig, f"r-{number}")
    for _ in range(3):
        assert rig.app.work()
        assert other.app.work()
    assert sorted(request_id for _, request_id in ran) == [f"r-{n}" for n in range(6)]
    assert {who for who, _ in ran} == {"one", "two"}
    assert not rig.app.work()


def test_concurrency_without_a_key() -> None:
    @handler("a", mode="async", concurrency=1)
    def function(ctx: Context) -> None:
        if ctx.request_id == "r":
            assert not other.app.work()
            assert not other.app.run(client.ref("s"))

    rig = Rig(function)
    other = Rig(function, beside=rig)
    client = queued(rig)
    queued(rig, "s")
    assert rig.app.work()
    assert other.app.work()
    assert status_of(client, "s") is Status.COMPLETED


def test_concurrency_for_each_key() -> None:
    @handler(
        "a",
        mode="async",
        concurrency=Concurrency(at_most=1, key=lambda payload, principal: payload["room"]),
    )
    def function(payload: dict[str, Any], ctx: Context) -> None:
        if ctx.request_id == "one":
            assert other.app.work()
            assert not other.app.work()

    rig = Rig(function)
    other = Rig(function, beside=rig)
    client = queued(rig, "one", payload={"room": "a"})
    queued(rig, "two", payload={"room": "a"})
    queued(rig, "three", payload={"room": "b"})
    assert rig.app.work()
    assert status_of(client, "three") is Status.COMPLETED
    assert status_of(client, "two") is Status.PENDING
    assert rig.work() == 1


def test_tenants_take_turns() -> None:
    order: list[str] = []

    @handler("a", mode="async")
    def function(ctx: Context) -> None:
        order.append(ctx.principal.tenant)

    rig = Rig(function)
    for number in range(4):
        rig.client(tenant="large").ask("a", id=f"r-{number}")
    for number in range(2):
        rig.client(tenant="small").ask("a", id=f"r-{number}")
    rig.work()
    assert order[:4] in (["large", "small"] * 2, ["small", "large"] * 2)


# -- trouble with the store


@pytest.mark.parametrize("verb", ["subscribers", "finish", "append"])
@pytest.mark.parametrize("after", [False, True])
def test_a_store_that_fails_costs_at_most_an_attempt(verb: str, after: bool) -> None:
    @handler("a", mode="async", retry={"backoff": 0})
    def function(ctx: Context) -> str:
        ctx.emit("x")
        ctx.checkpoint(ctx.attempt)
        return "done"

    rig = Rig(function)
    client = queued(rig)
    rig.store.faults.fail_next(verb, StoreError(SECRET), after=after)
    for _ in range(3):
        rig.work()
        rig.clock.advance(30_000)
        rig.app.sweep()
    assert status_of(client) is Status.COMPLETED
    ends = {message["seq"] for message in client.inbox if "terminal" in message}
    assert len(ends) == 1
    assert mirror(
        sorted(client.of("chunk") + client.of("restart") + client.of("complete"), key=_seq)
    )


def _seq(message: Wire) -> int:
    seq: int = message["seq"]
    return seq


@pytest.mark.parametrize("verb", ["mark_sent", "delete_connection", "heartbeat"])
def test_a_store_that_fails_beside_the_request_costs_nothing(verb: str) -> None:
    @handler("a", mode="async", retry={"max_attempts": 1})
    def function(ctx: Context) -> str:
        gone.go()
        ctx.emit("x")
        ctx.checkpoint(1)
        if verb != "heartbeat":
            rig.beat(2000)
        return "done"

    rig = Rig(function)
    client, gone = queued(rig), rig.client()
    gone.ask("streamer.subscribe", {"request_id": "r"})
    rig.store.faults.fail_next(verb, StoreError(SECRET), times=2)
    rig.work()
    assert client.kinds == ["chunk", "complete"]
    assert status_of(client) is Status.COMPLETED


def test_counts_are_settled_once() -> None:
    class Gauge:
        @hookimpl
        def streamer_admit(self, request: Any) -> list[Count] | None:
            return request and [Count(key="g", amount=3), Count(key="g", amount=-3)]

    @handler("a", mode="async", retry={"max_attempts": 2, "backoff": 0})
    def function() -> None:
        raise OSError

    rig = Rig(function, plugins=[Gauge()])
    queued(rig)
    rig.work(1)
    assert rig.store.count([Count(key="g", amount=0)]).levels == (3,)
    rig.work()
    assert rig.store.count([Count(key="g", amount=0)]).levels == (0,)


def test_a_wrapper_and_its_observers() -> None:
    calls: list[Call] = []

    class Around:
        @hookimpl(wrapper=True)
        def streamer_execute(self, call: Call) -> Any:
            calls.append(call)
            try:
                return (yield)
            finally:
                calls.append(call)

    class Broken:
        @hookimpl
        def streamer_on_transition(self) -> None:
            raise RuntimeError(SECRET)

        @hookimpl
        def streamer_on_update(self) -> None:
            raise RuntimeError(SECRET)

        @hookimpl
        def streamer_on_metric(self) -> None:
            raise RuntimeError(SECRET)

    @handler("a", mode="async")
    def function(ctx: Context) -> None:
        ctx.emit(1)

    rig = Rig(function, plugins=[Broken(), Around()])
    client = queued(rig)
    rig.work()
    assert client.kinds == ["chunk", "complete"]
    assert [call.handler for call in calls] == declared(function) * 2
    assert calls[0].request is not None
    assert len(rig.seen.moves) == 3


def test_what_a_drain_without_time_gives_back_is_asked_to_stop() -> None:
    began = threading.Event()

    @handler("a", mode="async", timeout="1h")
    def endless(ctx: Context) -> None:
        began.set()
        while not ctx.cancelled:
            threading.Event().wait(0.001)

    rig = Rig(endless)
    client = queued(rig)
    worker = threading.Thread(target=rig.app.work, daemon=True)
    worker.start()
    assert began.wait(10)
    rig.app.drain(0)
    worker.join(10)
    assert not worker.is_alive()
    kept = rig.stored(client.ref("r"))
    assert (kept.status, kept.spent) == (Status.PENDING, 0)
