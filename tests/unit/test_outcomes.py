from collections.abc import Callable, Generator
from typing import Any

import pytest

from streamer_core import Context, Reject
from streamer_core.errors import CircuitOpen, Forbidden, Refused, StorageFailed
from streamer_core.markers import hookimpl
from streamer_core.model.call import Call
from streamer_core.outcomes import Outcome, outcome_of_refusal, telling
from tests.unit.harness import Rig, handler


class Telling:
    """Keeps what became of each call."""

    def __init__(self) -> None:
        self.told: list[Outcome] = []

    @hookimpl(wrapper=True)
    def streamer_execute(self, call: Call) -> Generator[None, Any, Any]:
        with telling(call, self.told.append):
            return (yield)


def a_division(_: Context) -> None:
    1 / 0  # noqa: B018


def raising(error: Exception) -> Callable[[Context], None]:
    def run(_: Context) -> None:
        raise error

    return run


CASES: dict[str, tuple[Callable[[Context], object], Outcome]] = {
    "nothing": (lambda _: None, Outcome(name="completed")),
    "an error": (a_division, Outcome(name="failed", error="ZeroDivisionError", is_failure=True)),
    "a reject": (raising(Reject("a.b", "no")), Outcome(name="rejected", error="a.b")),
    "a refusal": (raising(Forbidden("no")), Outcome(name="rejected", error="FORBIDDEN")),
    "later": (lambda ctx: ctx.continue_later(5), Outcome(name="continued")),
    "a circuit": (raising(CircuitOpen("no")), Outcome(name="deferred", error="CIRCUIT_OPEN")),
}


@pytest.mark.parametrize("case", CASES)
def test_what_became_of_an_attempt(case: str) -> None:
    run, outcome = CASES[case]

    @handler("probe", mode="async")
    def probe(ctx: Context) -> None:
        run(ctx)

    plugin = Telling()
    rig = Rig(probe, plugins=[plugin])
    rig.client().send("probe")
    assert rig.work(rounds=1) == 1
    assert plugin.told == [outcome]


def test_an_open_circuit_rejects_who_waits_for_the_answer() -> None:
    plugin = Telling()
    rig = Rig(handler("probe")(raising(CircuitOpen("no"))), plugins=[plugin])
    assert rig.client().ask("probe")["error"]["code"] == "CIRCUIT_OPEN"
    assert plugin.told == [Outcome(name="rejected", error="CIRCUIT_OPEN")]


def test_one_that_is_asked_to_stop() -> None:
    @handler("probe", mode="async")
    def probe(ctx: Context) -> None:
        client.ask("streamer.cancel", {"request_id": "r-1"})
        ctx.checkpoint(1)  # each write of the holder learns of it
        ctx.raise_if_cancelled()

    plugin = Telling()
    rig = Rig(probe, plugins=[plugin])
    client = rig.client()
    client.send("probe", id="r-1")
    rig.work(rounds=1)
    assert plugin.told == [Outcome(name="stopped")]


@pytest.mark.parametrize("error", [Forbidden("no"), StorageFailed("no"), Refused("no")])
def test_why_a_message_was_not_taken(error: Refused) -> None:
    is_failure = not isinstance(error, Forbidden)
    assert outcome_of_refusal(error) == Outcome(
        name="refused", error=error.code, is_failure=is_failure
    )
