"""Async requests are taken in: stored first, once, and only then acknowledged."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from streamer_core import Concurrency, Principal, handler
from streamer_core.errors import (
    Forbidden,
    ItemTooLarge,
    LimitReached,
    QuotaExceeded,
    StoreError,
    Throttled,
)
from streamer_core.markers import hookimpl
from streamer_core.model.counter import Count
from streamer_core.model.encode import encode
from streamer_core.model.message import Mode, Priority
from streamer_core.model.policy import Slot
from streamer_core.model.request import Status
from streamer_core.testing import MemoryStore
from tests.unit.harness import Rig, code_of, interrupting


@handler("a", mode="async", timeout="1m", retry={"max_attempts": 7})
def function(payload: dict[str, Any]) -> Any:
    return payload


@handler("b", mode="async")
def other() -> None: ...


@handler("quick")
def quick() -> str:
    return "now"


@handler("slow", estimated="6s")
def slow() -> None: ...


def test_an_acknowledgment_comes_after_what_it_says_is_stored() -> None:
    rig = Rig(function)
    client = rig.client(scopes="s")
    answer = client.ask("a", {"x": 1}, id="r", metadata={"v": "1"}, options={"priority": "low"})
    assert answer == {
        "type": "acknowledgment",
        "timestamp": rig.clock.now(),
        "request_id": "r",
        "ref": client.ref("r"),
        "status": "queued",
        "message": "Stored",
    }
    request = rig.stored(client.ref("r"))
    assert (request.id, request.action, request.tenant, request.user) == ("r", "a", "acme", "ann")
    assert (request.payload, request.metadata) == ({"x": 1}, {"v": "1"})
    assert request.scopes == {"s"}
    assert (request.status, request.priority, request.connection_id) == (
        Status.PENDING,
        Priority.LOW,
        client.id,
    )
    assert (request.policy.timeout_ms, request.policy.max_attempts) == (60_000, 7)
    assert rig.seen.moves == [(None, Status.PENDING)]


def test_an_id_is_made_where_none_is_given() -> None:
    rig = Rig(function)
    client = rig.client()
    answer = client.ask("a")
    assert answer["ref"] == client.ref(answer["request_id"])
    assert client.ask("a")["ref"] != answer["ref"]


@pytest.mark.parametrize("error", [StoreError("x"), Throttled("x")])
def test_nothing_is_acknowledged_that_was_not_stored(error: Exception) -> None:
    rig = Rig(function)
    client = rig.client()
    rig.store.faults.fail_next("enqueue", error)
    answer = client.ask("a", id="r")
    assert code_of(answer) == "STORAGE_ERROR"
    assert answer["error"]["retry"] == {"retryable": True}
    assert rig.store.get(client.ref("r")) is None
    assert rig.work() == 0
    assert rig.seen.moves == []
    assert client.ask("a", id="r")["type"] == "acknowledgment"


def test_a_crash_past_the_commit_is_made_good_by_the_repeat() -> None:
    rig = Rig(function)
    client = rig.client()
    rig.store.faults.fail_next("enqueue", StoreError("x"), after=True)
    assert code_of(client.ask("a", {"x": 1}, id="r")) == "STORAGE_ERROR"
    assert client.ask("a", {"x": 1}, id="r")["message"] == "Known already"
    assert rig.work() == 1


def test_a_repeat_is_the_same_request() -> None:
    rig = Rig(function)
    client = rig.client()
    client.ask("a", {"x": 1, "y": 2}, id="r")
    again = client.ask("a", {"y": 2, "x": 1}, id="r")
    assert (again["status"], again["message"]) == ("queued", "Known already")
    rig.claim(client.ref("r"))
    assert client.ask("a", {"x": 1, "y": 2}, id="r")["status"] == "processing"
    assert len(rig.seen.moves) == 1


def test_a_repeat_of_a_finished_request_brings_its_end() -> None:
    rig = Rig(function)
    client = rig.client()
    client.ask("a", {"x": 1}, id="r")
    rig.work()
    acknowledged, end = client.send("a", {"x": 1}, id="r")
    assert acknowledged["status"] == "completed"
    assert end == client.inbox[-1]
    assert (end["type"], end["result"]) == ("complete", {"x": 1})
    assert rig.work() == 0


def test_a_repeat_on_another_connection_follows_it() -> None:
    rig = Rig(function)
    first, second = rig.client(), rig.client()
    first.ask("a", id="r")
    second.ask("a", id="r")
    rig.work()
    assert first.kinds == second.kinds == ["complete"]


@pytest.mark.parametrize(("action", "payload"), [("a", {"x": 2}), ("b", {"x": 1}), ("a", None)])
def test_the_id_of_another_request(action: str, payload: Any) -> None:
    rig = Rig(function, other)
    client = rig.client()
    client.ask("a", {"x": 1}, id="r")
    answer = client.ask(action, payload, id="r")
    assert code_of(answer) == "DUPLICATE_REQUEST"
    assert answer["refused"] is True
    assert rig.stored(client.ref("r")).payload == {"x": 1}


def test_ids_belong_to_tenant_and_user() -> None:
    rig = Rig(function)
    for client in (rig.client("ann"), rig.client("bob"), rig.client("ann", tenant="b")):
        assert client.ask("a", {"who": client.id}, id="r")["message"] == "Stored"


def test_a_delay() -> None:
    rig = Rig(quick)
    client = rig.client()
    assert client.ask("quick", options={"delay_ms": 5000})["type"] == "acknowledgment"
    assert rig.work() == 0
    rig.clock.advance(4999)
    assert rig.work() == 0
    rig.clock.advance(1)
    assert rig.work() == 1
    assert client.kinds == ["complete"]


def test_the_longest_delay() -> None:
    client = Rig(function).client()
    month = 30 * 86_400_000
    assert client.ask("a", options={"delay_ms": month})["type"] == "acknowledgment"
    assert code_of(client.ask("a", options={"delay_ms": month + 1})) == "VALIDATION_ERROR"


def test_priorities() -> None:
    rig = Rig(function)
    client = rig.client(scopes="streamer:priority")
    for priority in ("low", "normal", "high"):
        client.ask("a", id=priority, options={"priority": priority})
    rig.work()
    assert [message["request_id"] for message in client.inbox] == ["high", "normal", "low"]


@pytest.mark.parametrize(
    ("scopes", "allowed"), [("", False), ("streamer:priority", True), ("streamer:admin", True)]
)
def test_high_priority_needs_the_right(scopes: str, allowed: bool) -> None:
    rig = Rig(function)
    client = rig.client(scopes=scopes)
    answer = client.ask("a", id="r", options={"priority": "high"})
    assert (answer["type"] == "acknowledgment") is allowed
    if not allowed:
        assert code_of(answer) == "FORBIDDEN"
        assert rig.store.get(client.ref("r")) is None


def test_scopes() -> None:
    @handler("s", scopes=["one", "two"])
    def scoped() -> str:
        return "in"

    rig = Rig(scoped)
    assert code_of(rig.client(scopes="one").ask("s")) == "FORBIDDEN"
    assert rig.client(scopes="two,one").ask("s")["data"] == "in"


@pytest.mark.parametrize(
    ("action", "options", "kind"),
    [
        ("quick", {}, "response"),
        ("quick", {"mode": "auto"}, "response"),
        ("quick", {"mode": "async"}, "acknowledgment"),
        ("slow", {}, "acknowledgment"),
        ("slow", {"mode": "sync"}, "response"),
        ("a", {}, "acknowledgment"),
        ("a", {"mode": "sync"}, "response"),
    ],
)
def test_routes(action: str, options: dict[str, Any], kind: str) -> None:
    assert Rig(function, quick, slow).client().ask(action, options=options)["type"] == kind


def test_the_threshold_is_a_setting() -> None:
    assert Rig(slow, async_threshold="7s").client().ask("slow")["type"] == "response"


def test_a_plugin_may_route() -> None:
    class Route:
        @hookimpl
        def streamer_route(self) -> Mode:
            return Mode.ASYNC

    assert Rig(quick, plugins=[Route()]).client().ask("quick")["type"] == "acknowledgment"


class Gates:
    """Keeps the order in which the gates were asked, and closes one."""

    def __init__(self, closed: str = "") -> None:
        self.closed = closed
        self.asked: list[str] = []

    def _ask(self, name: str) -> None:
        self.asked.append(name)
        if name == self.closed:
            raise Forbidden("Closed")

    @hookimpl
    def streamer_authorize(self, verb: str) -> None:
        self._ask(f"authorize {verb}")

    @hookimpl
    def streamer_limit(self, request: Any) -> None:
        if request is not None:
            self._ask("limit")

    @hookimpl
    def streamer_admit(self, request: Any) -> None:
        if request is not None:
            self._ask("admit")

    @hookimpl
    def streamer_route(self) -> None:
        self._ask("route")

    @hookimpl
    def streamer_on_request(self) -> None:
        self._ask("on_request")


ORDER = ["limit", "authorize call", "authorize priority", "route", "admit", "on_request"]


def test_the_order_of_the_gates() -> None:
    gates = Gates()
    client = Rig(function, plugins=[gates]).client(scopes="streamer:priority")
    client.ask("a", options={"priority": "high"})
    assert gates.asked == ORDER


@pytest.mark.parametrize("closed", ORDER[:5])
def test_a_closed_gate_stores_nothing(closed: str) -> None:
    gates = Gates(closed)
    rig = Rig(function, plugins=[gates])
    client = rig.client(scopes="streamer:priority")
    assert code_of(client.ask("a", id="r", options={"priority": "high"})) == "FORBIDDEN"
    assert gates.asked == ORDER[: ORDER.index(closed) + 1]
    assert rig.store.get(client.ref("r")) is None


def test_the_payload_is_checked_before_it_is_counted() -> None:
    class Model(BaseModel):
        n: int

    @handler("m")
    def typed(payload: Model) -> None: ...

    gates = Gates()
    assert code_of(Rig(typed, plugins=[gates]).client().ask("m", {})) == "VALIDATION_ERROR"
    assert gates.asked == ["limit", "authorize call"]


def test_ones_yes_does_not_hide_anothers_no() -> None:
    client = Rig(function, plugins=[Gates(), Gates("admit"), Gates()]).client()
    assert code_of(client.ask("a")) == "FORBIDDEN"


class Quota:
    @hookimpl
    def streamer_admit(self, request: Any) -> list[Count] | None:
        return request and [
            Count(key="running", limit=1),
            Count(key="running", amount=-1),
            Count(key="seen"),
        ]


def levels(store: MemoryStore) -> tuple[float, ...]:
    return store.count([Count(key="running", amount=0), Count(key="seen", amount=0)]).levels


def test_counts_are_taken_with_the_request_and_settled_with_its_end() -> None:
    rig = Rig(function, plugins=[Quota()])
    client = rig.client()
    client.ask("a", id="r")
    client.ask("a", id="r")
    assert levels(rig.store) == (1, 1)
    refused = client.ask("a", id="s")
    assert code_of(refused) == "QUOTA_EXCEEDED"
    assert refused["error"]["details"] == {
        "quota": "running",
        "limit": 1,
        "used": 1,
        "resets_at": None,
    }
    assert rig.store.get(client.ref("s")) is None
    rig.work()
    assert levels(rig.store) == (0, 1)
    assert client.ask("a", id="s")["message"] == "Stored"


def test_a_full_counter_says_when_to_come_back() -> None:
    rig = Rig(function)
    rig.store.faults.fail_next("enqueue", LimitReached("k", level=3, retry_after_ms=500))
    answer = rig.client().ask("a")
    assert code_of(answer) == QuotaExceeded.code


def test_what_the_store_cannot_hold() -> None:
    rig = Rig(function)
    rig.store.faults.fail_next("enqueue", ItemTooLarge("x"))
    assert code_of(rig.client().ask("a")) == "PAYLOAD_TOO_LARGE"


def _key(payload: dict[str, Any], principal: Principal) -> str:
    return f"{principal.tenant}-{payload['room']}"


def test_slots() -> None:
    @handler("one", mode="async", concurrency=2)
    def one() -> None: ...

    @handler("each", mode="async", concurrency=Concurrency(at_most=1, key=_key))
    def each(payload: dict[str, Any]) -> None: ...

    rig = Rig(one, each)
    client = rig.client()
    client.ask("one", id="r")
    client.ask("each", {"room": 7}, id="s")
    assert rig.stored(client.ref("r")).slots == (Slot(key="handler/one", at_most=2),)
    assert rig.stored(client.ref("s")).slots == (Slot(key="handler/each/acme-7", at_most=1),)
    answer = client.ask("each", {}, id="t")
    assert code_of(answer) == "INTERNAL_ERROR"
    assert "room" not in json.dumps(answer)


def test_two_that_race_store_one() -> None:
    rig = Rig(function)
    first, second = rig.client(), rig.client()
    with interrupting(rig.store, "enqueue", lambda: second.send("a", {"x": 1}, id="r")):
        answer = first.ask("a", {"x": 1}, id="r")
    assert answer["message"] == "Known already"
    assert rig.work() == 1


class OneConnection:
    @hookimpl
    def streamer_admit(self, request: Any) -> list[Count] | None:
        if request is not None:
            return None
        return [
            Count(key="open/4/acme", limit=1, expires_at=2_000_000_000_000),
            Count(key="open/4/acme", amount=-1),
        ]


def test_counts_of_a_connection_are_taken_and_settled_with_it() -> None:
    rig = Rig(function, plugins=[OneConnection()])
    client = rig.client()
    with pytest.raises(QuotaExceeded) as refused:
        rig.client()
    assert refused.value.http_status == 429
    assert refused.value.details == {
        "quota": "open",
        "limit": 1,
        "used": 1,
        "resets_at": 2_000_000_000_000,
    }
    assert refused.value.retry_after_ms == 2_000_000_000_000 - rig.clock.now()
    rig.app.disconnect(client.id)
    again = rig.client()
    rig.clock.advance(7_200_000)  # nobody says that it has gone
    assert rig.app.sweep().connections == 1
    assert rig.store.get_connection(again.id) is None
    rig.client()


class PerWhat:
    @hookimpl
    def streamer_admit(self, request: Any) -> list[Count] | None:
        return request and [
            Count(key="seconds", amount=2, per="second"),
            Count(key="updates", per="update"),
            Count(key="bytes", per="byte"),
        ]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_what_a_run_took_and_said_is_counted_at_its_end(mode: str) -> None:
    @handler("long", mode=mode)
    def long(payload: dict[str, Any]) -> str:
        rig.clock.advance(1500)
        return "done"

    rig = Rig(long, plugins=[PerWhat()])
    answer = rig.client().ask("long", id="r")
    rig.work()
    said = answer if mode == "sync" else {"result": "done"}
    counts = [Count(key=key, amount=0) for key in ("seconds", "updates", "bytes")]
    assert rig.store.count(counts).levels == (3, 1, len(encode(said)))


def test_a_gate_knows_the_handler_and_the_mode() -> None:
    seen: list[Any] = []

    class Knowing:
        @hookimpl
        def streamer_admit(self, handler: Any, mode: Any) -> None:
            seen.append((handler and handler.action, mode))

    Rig(function, plugins=[Knowing()]).client().ask("a", options={"mode": "async"})
    assert seen == [(None, None), ("a", Mode.ASYNC)]
