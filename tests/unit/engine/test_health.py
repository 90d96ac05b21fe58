"""Everybody is asked how they are, and nobody who is ill, slow or hanging hides another."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamer_core.errors import Forbidden, Throttled
from streamer_core.markers import hookimpl
from streamer_core.model.call import Health
from streamer_core.model.health import overall
from streamer_core.testing import MemoryStore
from tests.conftest import Lines
from tests.unit.harness import Rig, code_of

SECRET = "key-of-the-house"
WELL_OVER_A_SECOND = 20.0


class Checked:
    """A plugin that gives what a function gives."""

    def __init__(self, look: Callable[[], Any]) -> None:
        self.look = look
        self.asked = 0

    @hookimpl
    def streamer_health(self) -> Any:
        self.asked += 1
        return self.look()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Something that does not come before the test is over."""
    closed = threading.Event()
    yield closed
    closed.set()


def fine() -> Health:
    return Health(name="fine", ok=True, detail="all of 3")


def limping() -> Health:
    return Health(name="limping", ok=True, degraded=True, latency_ms=7)


def dead() -> Health:
    return Health(name="dead", ok=False, degraded=True)


def statuses(rig: Rig) -> dict[str, str]:
    return {one.name: one.status for one in rig.app.health()}


def test_each_has_its_status_and_the_worst_is_that_of_all() -> None:
    rig = Rig(plugins=[Checked(fine), Checked(limping), Checked(lambda: None)])
    assert statuses(rig) == {"store": "ok", "fine": "ok", "limping": "degraded"}
    assert overall(rig.app.health()) == "degraded"
    assert (overall([]), overall([fine()])) == ("ok", "ok")
    assert overall([limping(), dead(), fine()]) == "dead"


def test_the_core_measures_what_a_plugin_does_not() -> None:
    def slow() -> Health:
        rig.clock.advance(40)
        return fine()

    rig = Rig(plugins=[Checked(slow), Checked(limping)])
    took = {one.name: one.latency_ms for one in rig.app.health()}
    assert took["fine"] == pytest.approx(40)
    assert took["limping"] == 7


@pytest.mark.parametrize("answer", [True, {"ok": True}, "fine"])
def test_what_is_no_answer_is_none_that_counts(answer: Any, logs: Lines) -> None:
    rig = Rig(plugins=[Checked(lambda: answer)])
    assert list(statuses(rig).values()) == ["ok", "dead"]
    assert [line["event"] for line in logs] == ["health check failed"]


@pytest.mark.parametrize("error", [RuntimeError(SECRET), SystemExit(SECRET)])
def test_no_text_of_an_error_is_shown(error: BaseException, logs: Lines) -> None:
    def fails() -> None:
        raise error

    _, failed = Rig(plugins=[Checked(fails)]).app.health()
    assert (failed.status, failed.detail) == ("dead", "The check failed; the log says why")
    assert logs[0]["check"] == failed.name


def test_a_store_that_fails_is_dead() -> None:
    class Busy(MemoryStore):
        def check(self) -> None:
            raise Throttled(SECRET)

    rig = Rig()
    rig.app.runtime.store = Busy(rig.clock)
    (store,) = rig.app.health()
    assert (store.name, store.status, store.detail) == ("store", "dead", "Throttled")


def test_a_check_that_hangs_holds_up_nothing_and_is_not_begun_again(gate: threading.Event) -> None:
    hanging = Checked(gate.wait)
    rig = Rig(plugins=[hanging, Checked(fine)])
    began = time.monotonic()
    (hung,) = [one for one in rig.app.health() if one.status == "dead"]
    assert time.monotonic() - began < WELL_OVER_A_SECOND
    assert hung.detail == "The check has not ended after 1 s"
    rig.clock.advance(5_000)
    answers = rig.app.health()
    assert sorted(one.status for one in answers) == ["dead", "ok", "ok"]
    assert max(one.latency_ms or 0 for one in answers) == pytest.approx(5_000)
    assert hanging.asked == 1


def test_one_that_hung_is_asked_again_once_it_has_ended(gate: threading.Event) -> None:
    def late() -> Health:
        gate.wait()
        return fine()

    hanging = Checked(late)
    rig = Rig(plugins=[hanging])
    rig.app.health()
    gate.set()
    for thread in threading.enumerate():
        if thread.name.startswith("streamer-health-"):
            thread.join(timeout=20)
    rig.clock.advance(1_000)
    assert statuses(rig)["fine"] == "ok"
    assert hanging.asked == 2


def test_many_who_ask_at_once_cost_one_check() -> None:
    checked = Checked(fine)
    rig = Rig(plugins=[checked])
    answers: list[list[Health]] = []
    askers = [threading.Thread(target=lambda: answers.append(rig.app.health())) for _ in range(20)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(timeout=20)
    assert len(answers) == 20
    assert checked.asked == 1
    rig.clock.advance(999)
    rig.app.health()
    assert checked.asked == 1
    rig.clock.advance(1)
    rig.app.health()
    assert checked.asked == 2


# -- over the wire


def test_whoever_operates_streamer_sees_each_check() -> None:
    rig = Rig(plugins=[Checked(limping)])
    answer = rig.client(scopes="streamer:operator").ask("streamer.health")
    assert answer["data"] == {
        "status": "degraded",
        "checks": [
            {"name": "store", "status": "ok", "detail": "", "latency_ms": 0},
            {"name": "limping", "status": "degraded", "detail": "", "latency_ms": 7},
        ],
    }


@pytest.mark.parametrize("scopes", ["", "streamer:admin"])
def test_others_see_only_how_all_is(scopes: str) -> None:
    rig = Rig(plugins=[Checked(dead)])
    assert rig.client(scopes=scopes).ask("streamer.health")["data"] == {"status": "dead"}


def test_a_gate_may_keep_the_details_back() -> None:
    class Closed:
        @hookimpl
        def streamer_authorize(self, verb: str) -> None:
            if verb == "admin":
                raise Forbidden("Not over the wire")

    client = Rig(plugins=[Closed()]).client(scopes="streamer:operator")
    assert client.ask("streamer.health")["data"] == {"status": "ok"}


def test_a_gate_that_breaks_shows_nothing() -> None:
    class Broken:
        @hookimpl
        def streamer_authorize(self, verb: str) -> None:
            raise RuntimeError(SECRET)

    answer = Rig(plugins=[Broken()]).client(scopes="streamer:operator").ask("streamer.health")
    assert code_of(answer) == "INTERNAL_ERROR"


def test_a_sentence_without_end_is_cut() -> None:
    rig = Rig(plugins=[Checked(lambda: Health(name="long", ok=True, detail="x" * 200_000))])
    answer = rig.client(scopes="streamer:operator").ask("streamer.health")
    assert len(answer["data"]["checks"][1]["detail"]) == 500
