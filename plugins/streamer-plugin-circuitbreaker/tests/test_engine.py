"""Circuits under handlers, through the engine: who is answered what, and what waits."""

import threading
from typing import Any

import pytest
from streamer_plugin_circuitbreaker import CircuitBreakerPlugin

from streamer_core import Context, Reject, handler
from streamer_core.errors import CircuitOpen
from streamer_core.model.request import Request, Status
from streamer_core.sections import validate_section
from tests.unit.harness import Client, Rig, code_of

WORLD = {"down": False}


@pytest.fixture(autouse=True)
def up() -> None:
    WORLD["down"] = False


@handler("pay", retry={"max_attempts": 1})
def pay(payload: dict[str, Any], ctx: Context) -> int:
    with ctx.circuit("ledger"):
        if WORLD["down"]:
            raise OSError("down")
    return ctx.attempt


@handler("report.day", retry={"max_attempts": 1}, timeout="20s")
def report(payload: dict[str, Any], ctx: Context) -> int:
    match payload.get("how"):
        case "reject":
            raise Reject("report.empty", "Nothing to report")
        case "fail":
            raise OSError("down")
        case "unknown":
            with ctx.circuit("action:x"):
                pass
    return ctx.attempt


def rig(*sources: Any, beside: Rig | None = None, **section: Any) -> Rig:
    made = Rig(pay, report, *sources, beside=beside)
    section = {"minimum_calls": 2, "actions": {"report.*": {}, "slow": {}}, **section}
    rules = validate_section(CircuitBreakerPlugin.Settings, section, "[here]")
    made.plug(CircuitBreakerPlugin(rules, made.app))
    return made


def queued(client: Client, action: str, **fields: Any) -> None:
    answer = client.ask(action, {}, options={"mode": "async"}, **fields)
    assert answer["type"] == "acknowledgment"


@pytest.mark.parametrize("action", ["pay", "report.day"])
def test_a_sync_request_is_told_when_to_come_back(action: str) -> None:
    client = rig().client()
    WORLD["down"] = True
    for _ in range(2):
        assert code_of(client.ask(action, {"how": "fail"})) == "PROCESSING_FAILED"
    refused = client.ask(action)
    assert code_of(refused) == "CIRCUIT_OPEN"
    assert "ledger" not in refused["error"]["message"], "what it depends on is no client's matter"
    assert refused["error"]["retry"]["retryable"] is True
    assert 30_000 <= refused["error"]["retry"]["after_ms"] <= 33_000


@pytest.mark.parametrize("action", ["pay", "report.day"])
def test_an_async_request_waits_and_spends_no_attempt(action: str) -> None:
    served = rig(probes=1)
    client = served.client()
    WORLD["down"] = True
    for _ in range(2):
        client.ask(action, {"how": "fail"})
    queued(client, action, id="r")
    for _ in range(5):
        assert served.work() == 1
        waiting = served.stored(client.ref("r"))
        assert (waiting.status, waiting.spent, waiting.failures) == (Status.PENDING, 0, ())
        assert 27_000 <= waiting.due_at - served.clock.now() <= 33_000
        open_again(served)
    WORLD["down"] = False
    served.clock.advance(33_000)
    assert served.work() == 1
    ended = served.stored(client.ref("r"))
    assert (ended.status, ended.attempt) == (Status.COMPLETED, 1)


def open_again(served: Rig) -> None:
    """Have the circuit probed by another, in vain."""
    served.clock.advance(30_000)
    other = served.client("bob")
    codes = {code_of(other.ask(one, {"how": "fail"})) for one in ("pay", "report.day")}
    assert "PROCESSING_FAILED" in codes
    served.clock.advance(3_000)


def test_rejects_and_invalid_payloads_open_nothing() -> None:
    client = rig().client()
    for _ in range(50):
        assert code_of(client.ask("report.day", {"how": "reject"})) == "report.empty"
        assert code_of(client.raw(b'{"action": "report.day", "payload": 5}')[0]) == (
            "VALIDATION_ERROR"
        )
    assert client.ask("report.day")["data"] == 1


def test_the_circuits_of_two_actions_are_two() -> None:
    client = rig(actions={"*": {}}).client()
    for _ in range(3):
        client.ask("report.day", {"how": "fail"})
    assert code_of(client.ask("report.day")) == "CIRCUIT_OPEN"
    assert client.ask("pay")["data"] == 1


@pytest.mark.parametrize("is_async", [False, True])
def test_a_handler_that_outlives_its_time_has_failed(is_async: bool) -> None:
    @handler("slow", timeout="5s", retry={"max_attempts": 1})
    def slow(ctx: Context) -> None:
        served.beat(5000)

    @handler("slow", timeout="5s", retry={"max_attempts": 1})
    async def async_slow(ctx: Context) -> None:
        import asyncio

        served.beat(5000)
        await asyncio.sleep(60)

    served = rig(async_slow if is_async else slow)
    client = served.client()
    for _ in range(2):
        client.send("slow")
    ends = [code_of(message) for message in client.of("error")]
    assert ends == ["TIMEOUT", "TIMEOUT"]
    assert code_of(client.ask("slow")) == "CIRCUIT_OPEN"


def test_a_handler_that_hangs_for_good_has_failed() -> None:
    entered, let_go = threading.Event(), threading.Event()

    @handler("slow", timeout="5s")
    def hang(ctx: Context) -> None:
        with ctx.circuit("ledger"):
            entered.set()
            let_go.wait(60)

    served = rig(hang, minimum_calls=1)
    stuck = threading.Thread(target=served.client().send, args=["slow"])
    stuck.start()
    entered.wait(60)
    served.clock.advance(5000)
    client = served.client("bob")
    assert code_of(client.ask("pay")) == "CIRCUIT_OPEN", "of the ledger, by the hanging call"
    let_go.set()
    stuck.join(60)


def test_a_worker_that_dies_as_it_probes_blocks_nobody_for_long() -> None:
    served = rig(probes=1)
    client = served.client()
    WORLD["down"] = True
    for _ in range(2):
        client.ask("pay")
    WORLD["down"] = False
    served.clock.advance(30_000)

    @handler("die", mode="async")
    def die(ctx: Context) -> None:
        ctx.circuit("ledger").__enter__()  # and the process is gone: nothing is ever left

    dying = rig(die, beside=served, probes=1)
    queued(dying.client(), "die")
    assert dying.app.runtime.store is not served.store
    request = dying.store.claim_next(
        dying.app.settings.core.lanes, worker="w", lease_until=dying.clock.now() + 30_000
    )[0]
    run_and_die(dying, request)
    queued(client, "pay", id="r")
    served.work()
    waiting = served.stored(client.ref("r"))
    assert (waiting.status, waiting.spent) == (Status.PENDING, 0)
    served.clock.advance(60_000)
    served.work()
    assert served.stored(client.ref("r")).status is Status.COMPLETED


def run_and_die(dying: Rig, request: Request) -> None:
    """Run a request in a process that says no more after it."""
    dying.app.execute(request)
    dying.pulse.forget()


def test_a_handler_may_do_without() -> None:
    @handler("fallback")
    def fallback(ctx: Context) -> str:
        try:
            return str(pay({}, ctx))
        except (CircuitOpen, OSError) as error:
            return type(error).__name__

    client = rig(fallback).client()
    WORLD["down"] = True
    answers = [client.ask("fallback")["data"] for _ in range(4)]
    assert answers == ["OSError", "OSError", "CircuitOpen", "CircuitOpen"]


def test_an_open_circuit_within_another_does_not_count_against_it() -> None:
    @handler("both")
    def both(ctx: Context) -> None:
        with ctx.circuit("outer"), ctx.circuit("ledger"):
            raise OSError("down")

    @handler("outer")
    def outer(ctx: Context) -> str:
        with ctx.circuit("outer"):
            return "done"

    served = rig(both, outer, circuits={"outer": {"minimum_calls": 3}})
    client = served.client()
    assert [code_of(client.ask("both")) for _ in range(9)][2:] == ["CIRCUIT_OPEN"] * 7
    assert client.ask("outer")["data"] == "done", "two failures of ten: the others say nothing"


def test_a_name_that_is_none_is_the_handlers_fault() -> None:
    client = rig().client()
    assert code_of(client.ask("report.day", {"how": "unknown"})) == "PROCESSING_FAILED"
