"""Asking about requests: who sees what, status, list, cancel, subscribe."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, Field, create_model

from streamer_core import Context, Reject, handler
from streamer_core.errors import Forbidden, StoreError
from streamer_core.markers import hookimpl
from streamer_core.model.call import Resource
from streamer_core.model.message import Message, Mode
from streamer_core.model.request import Status
from tests.conftest import Lines
from tests.unit.harness import Client, Rig, code_of, mirror

LIMIT = 128 * 1024


@handler("a", mode="async")
def function(payload: dict[str, Any], ctx: Context) -> Any:
    ctx.progress(10, payload.get("say", "begun"), {"k": 1})
    if "wait" in payload:
        ctx.continue_later(after="1h")
    if "fail" in payload:
        raise Reject("shop.empty", "Nothing left", details=[1])
    return "x" * payload.get("size", 1)


def one(**payload: Any) -> tuple[Rig, Client]:
    rig = Rig(function)
    client = rig.client()
    client.ask("a", payload, id="r")
    rig.app.work()
    return rig, client


def test_status() -> None:
    rig, client = one()
    now = rig.clock.now()
    by_id = client.ask("streamer.status", {"request_id": "r"})
    assert by_id["data"] == {
        "request_id": "r",
        "ref": client.ref("r"),
        "action": "a",
        "status": "completed",
        "priority": "normal",
        "attempt": 1,
        "created_at": now,
        "due_at": now,
        "started_at": now,
        "finished_at": now,
        "expires_at": now + 7 * 86_400_000,
        "last_seq": 1,
        "cancel_requested": False,
        "redriven_from": None,
        "progress": {"percentage": 10, "message": "begun", "attempt": 1, "at": now},
        "result": "x",
    }
    by_ref = client.ask("streamer.status", {"ref": client.ref("r")})
    assert by_ref["data"] == by_id["data"]


def test_the_status_of_a_failure_shows_no_stack() -> None:
    @handler("a", mode="async", retry={"max_attempts": 1})
    def fails() -> None:
        raise RuntimeError("the whole truth")

    rig = Rig(fails)
    client = rig.client()
    client.ask("a", id="r")
    rig.work()
    answer = client.ask("streamer.status", {"request_id": "r"})
    assert answer["data"]["error"] == {
        "code": "PROCESSING_FAILED",
        "message": "The request failed",
    }
    assert "truth" not in json.dumps(answer)
    assert "RuntimeError" not in json.dumps(answer)
    assert rig.app.runtime.worker not in json.dumps(answer)


@pytest.mark.parametrize(
    ("user", "tenant", "scopes", "key", "found"),
    [
        ("ann", "acme", "", "request_id", True),
        ("ann", "acme", "", "ref", True),
        ("bob", "acme", "", "request_id", False),
        ("bob", "acme", "", "ref", False),
        ("bob", "acme", "streamer:admin", "request_id", False),
        ("bob", "acme", "streamer:admin", "ref", True),
        ("ann", "other", "", "ref", False),
        ("ann", "other", "streamer:admin", "ref", False),
    ],
)
@pytest.mark.parametrize("verb", ["status", "cancel", "subscribe"])
def test_who_sees_a_request(  # noqa: PLR0917 - a table
    verb: str, user: str, tenant: str, scopes: str, key: str, found: bool
) -> None:
    rig, owner = one(wait=True)
    asker = rig.client(user, tenant=tenant, scopes=scopes)
    which = {key: "r" if key == "request_id" else owner.ref("r")}
    answer = asker.send(f"streamer.{verb}", which)[0]
    if found:
        assert answer["data"]["ref"] == owner.ref("r")
        assert ("status" in answer["data"]) is True
    else:
        assert code_of(answer) == "NOT_FOUND"
        assert asker.id not in rig.store.subscribers(f"request/{owner.ref('r')}")
        assert rig.stored(owner.ref("r")).status is Status.PENDING


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"request_id": 3},
        {"request_id": ""},
        {"ref": ["x"]},
        {"ref": None, "request_id": None},
    ],
)
@pytest.mark.parametrize("verb", ["status", "cancel", "subscribe", "unsubscribe"])
def test_which_request_is_not_said(verb: str, payload: dict[str, Any]) -> None:
    assert code_of(Rig().client().ask(f"streamer.{verb}", payload)) == "VALIDATION_ERROR"


@pytest.mark.parametrize("verb", ["status", "cancel", "subscribe", "unsubscribe"])
@pytest.mark.parametrize("ref", ["x", "\ud800", "x" * 100_000, "request/../", "A" * 32])
def test_a_ref_that_is_none(verb: str, ref: str) -> None:
    rig = Rig()
    rig.store.faults.fail_next("get", RuntimeError("no store is asked for what it cannot hold"))
    assert code_of(rig.client().ask(f"streamer.{verb}", {"ref": ref})) == "NOT_FOUND"


@pytest.mark.parametrize("verb", ["status", "cancel", "resume", "subscribe"])
def test_a_gate_may_refuse_each_verb(verb: str) -> None:
    class Gate:
        @hookimpl
        def streamer_authorize(self, verb: str, resource: Any) -> None:
            if resource.kind == "request":
                asked.append((verb, resource.name, resource.handler.action, resource.request.id))
                raise Forbidden("Closed")

    asked: list[Any] = []
    rig, client = one()
    rig.plug(Gate())
    payload = {"requests": {"r": 0}} if verb == "resume" else {"request_id": "r"}
    (answer,) = client.send(f"streamer.{verb}", payload)
    assert code_of(answer) == "FORBIDDEN"
    assert asked == [(verb, client.ref("r"), "a", "r")]


def test_a_result_of_nearly_a_message_still_has_a_status() -> None:
    _, client = one(size=LIMIT - 600, say="é" * 1000)
    assert client.inbox[-1]["type"] == "complete"
    for verb in ("status", "subscribe", "cancel"):
        received = client.receive(
            json.dumps({"action": f"streamer.{verb}", "payload": {"request_id": "r"}}).encode()
        )
        assert all(len(frame) <= LIMIT for frame in received.frames)
        assert json.loads(received.frames[0])["data"]["status"] == "completed"


# -- list


def many() -> tuple[Rig, Client]:
    rig = Rig(function)
    client = rig.client()
    for number in range(5):
        payload = [{}, {"fail": 1}, {"wait": 1}][number % 3]
        client.ask("a", payload, id=f"r-{number}")
        rig.clock.advance(1000)
    rig.client("bob").ask("a", id="bobs")
    rig.client("ann", tenant="other").ask("a", id="others")
    rig.work()
    return rig, client


def ids(client: Client, **payload: Any) -> list[str]:
    answer = client.ask("streamer.list", payload)
    return [request["request_id"] for request in answer["data"]["requests"]]


def test_a_list_is_ones_own_newest_first() -> None:
    rig, client = many()
    assert ids(client) == ["r-4", "r-3", "r-2", "r-1", "r-0"]
    assert ids(rig.client("bob")) == ["bobs"]
    assert ids(rig.client("bob", scopes="streamer:admin")) == ["bobs"]
    assert ids(rig.client("eve")) == []


def test_filters() -> None:
    rig, client = many()
    assert ids(client, status="completed") == ["r-3", "r-0"]
    assert ids(client, status=["failed", "queued"]) == ["r-4", "r-2", "r-1"]
    assert ids(client, status=[]) == []
    assert ids(client, action="b") == []
    assert ids(client, action="a", status="failed") == ["r-4", "r-1"]
    since = rig.stored(client.ref("r-3")).created_at
    assert ids(client, since=since) == ["r-4", "r-3"]
    assert ids(client, status=None, action=None, since=None, limit=None, cursor=None) == ids(client)


def test_cursors() -> None:
    _, client = many()
    seen, cursor = [], None
    for _ in range(3):
        data = client.ask("streamer.list", {"limit": 2, "cursor": cursor})["data"]
        seen += [request["request_id"] for request in data["requests"]]
        cursor = data["cursor"]
    assert seen == ["r-4", "r-3", "r-2", "r-1", "r-0"]
    assert cursor is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cursor", "nonsense"),
        ("cursor", "é"),
        ("cursor", "\ud800"),
        ("cursor", 3),
        ("status", "done"),
        ("status", ["failed", 3]),
        ("status", [["failed"]]),
        ("status", {}),
        ("action", 3),
        ("since", -1),
        ("since", "yesterday"),
        ("since", 10**30),
        ("since", True),
        ("limit", 0),
        ("limit", 101),
        ("limit", 1.5),
    ],
)
def test_filters_that_cannot_be(field: str, value: Any) -> None:
    _, client = many()
    answer = client.ask("streamer.list", {field: value})
    assert code_of(answer) == "VALIDATION_ERROR"
    assert answer["error"]["details"][0]["path"] == f"payload.{field}"


def test_a_list_of_large_results_is_still_a_message() -> None:
    rig = Rig(function)
    client = rig.client()
    for number in range(40):
        client.ask("a", {"size": 100_000} if number % 2 else {"fail": 1}, id=f"r-{number:02}")
        rig.clock.advance(1)
    rig.work()
    seen: list[str] = []
    cursor = None
    while True:
        body = {"action": "streamer.list", "payload": {"limit": 100, "cursor": cursor}}
        (frame,) = client.receive(json.dumps(body).encode()).frames
        assert len(frame) <= LIMIT
        data = json.loads(frame)["data"]
        seen += [request["request_id"] for request in data["requests"]]
        if (cursor := data["cursor"]) is None:
            break
    assert seen == [f"r-{number:02}" for number in reversed(range(40))]


def test_a_list_of_long_texts_is_still_a_message() -> None:
    @handler("a", mode="async")
    def talks(ctx: Context) -> None:
        ctx.progress(1, "é" * 1000)

    rig = Rig(talks)
    client = rig.client()
    for number in range(100):
        client.ask("a", id=f"r-{number}")
    rig.work()
    (frame,) = client.receive(b'{"action":"streamer.list","payload":{"limit":100}}').frames
    assert len(frame) <= LIMIT
    assert json.loads(frame)["data"]["cursor"]


# -- subscribe


def test_a_late_subscriber_gets_the_present_state_at_once() -> None:
    rig, owner = one(wait=True)
    response, progress = rig.client().send("streamer.subscribe", {"request_id": "r"})
    assert response["data"]["status"] == "queued"
    assert (progress["type"], progress["percentage"]) == ("progress", 10)
    rig, owner = one()
    response, end = rig.client().send("streamer.subscribe", {"request_id": "r"})
    assert end == owner.inbox[-1]
    rig = Rig(function)
    owner = rig.client()
    owner.ask("a", id="r")
    assert len(owner.send("streamer.subscribe", {"request_id": "r"})) == 1


def test_a_subscriber_follows() -> None:
    rig, owner = one(wait=True)
    admin = rig.client("root", scopes="streamer:admin")
    admin.send("streamer.subscribe", {"ref": owner.ref("r")})
    owner.send("streamer.cancel", {"request_id": "r"})
    assert [code_of(message) for message in admin.inbox] == ["CANCELLED"]


def test_unsubscribing_twice_is_no_error() -> None:
    _, owner = one(wait=True)
    for _ in range(2):
        answer = owner.ask("streamer.unsubscribe", {"request_id": "r"})
        assert answer["data"] == {"ref": owner.ref("r")}


# -- closing the socket


def test_closing_the_socket_cancels_nothing() -> None:
    rig = Rig(function)
    client = rig.client()
    client.ask("a", id="r")
    rig.app.disconnect(client.id, "closed")
    client.go()
    assert rig.work() == 1
    assert rig.stored(client.ref("r")).status is Status.COMPLETED
    back = rig.client()
    assert mirror(back.send("streamer.resume", {"requests": {"r": 0}})).terminal is not None


# -- operators


def test_an_operator_cancels() -> None:
    rig, client = one(wait=True)
    cancelled = rig.app.cancel(client.ref("r"))
    assert cancelled is not None
    assert cancelled.status is Status.CANCELLED
    assert code_of(client.inbox[-1]) == "CANCELLED"
    assert rig.app.cancel("nothing") is None
    assert rig.app.cancel(client.ref("r")) == rig.stored(client.ref("r"))
    assert len(client.of("error")) == 1


# -- actions


class Report(BaseModel):
    month: str


def test_the_actions_one_may_call() -> None:
    @handler("report", estimated="2m", scopes="billing", idempotent=True)
    def report(request: Report, ctx: Context) -> None:
        """Make a report."""

    rig = Rig(report, function)
    shown = rig.client().ask("streamer.actions")["data"]["actions"]
    assert [action["action"] for action in shown] == ["a"]
    shown = rig.client(scopes="billing").ask("streamer.actions")["data"]["actions"]
    assert [action["action"] for action in shown] == ["report", "a"]
    assert shown[0]["description"] == "Make a report."
    assert shown[0]["payload_schema"]["required"] == ["month"]
    assert (shown[0]["mode"], shown[0]["estimated_ms"], shown[0]["timeout_ms"]) == (
        "async",
        120_000,
        300_000,
    )
    assert (shown[0]["idempotent"], shown[0]["scopes"]) == (True, ["billing"])


@pytest.mark.parametrize("hook", ["streamer_authorize", "streamer_route"])
def test_an_action_over_which_a_plugin_breaks_hides_no_other(hook: str, logs: Lines) -> None:
    class Broken:
        @hookimpl
        def streamer_authorize(self, resource: Resource) -> None:
            if hook == "streamer_authorize" and resource.name == "report":
                raise KeyError("the whole truth")

        @hookimpl
        def streamer_route(self, request: Message) -> Mode | None:
            if hook == "streamer_route" and request.action == "report":
                raise KeyError("the whole truth")
            return None

    @handler("report")
    def report() -> None: ...

    shown = Rig(report, function, plugins=[Broken()]).client().ask("streamer.actions")
    assert [action["action"] for action in shown["data"]["actions"]] == ["a"]
    assert [(line["event"], line["action"]) for line in logs] == [("message failed", "report")]


def _described(number: int) -> Any:
    model = create_model(f"Model{number}", text=(str, Field(description="x" * 400)))

    def act(payload: model) -> None: ...  # type: ignore[valid-type]

    return handler(f"action-with-a-name-{number}")(act)


def test_actions_that_a_message_cannot_hold_are_listed_without_schemas() -> None:
    rig = Rig(*map(_described, range(8)), max_message_bytes=4096)
    client = rig.client()

    shown = client.ask("streamer.actions")["data"]["actions"]
    assert [one["payload_schema"] for one in shown] == [None] * 8

    (shown,) = client.ask("streamer.actions", {"action": "action-with-a-name-3"})["data"]["actions"]
    assert shown["action"] == "action-with-a-name-3"
    assert shown["payload_schema"]["required"] == ["text"]
    assert client.ask("streamer.actions", {"action": "unknown"})["data"]["actions"] == []
    assert code_of(client.ask("streamer.actions", {"action": 3})) == "VALIDATION_ERROR"


def test_more_actions_than_a_message_can_hold() -> None:
    rig = Rig(*map(_described, range(30)), max_message_bytes=4096)
    client = rig.client()
    assert code_of(client.ask("streamer.actions")) == "PAYLOAD_TOO_LARGE"
    assert client.ask("streamer.actions", {"action": "action-with-a-name-3"})["data"]["actions"]


@pytest.mark.parametrize("verb", ["status", "list", "cancel", "subscribe", "unsubscribe"])
def test_a_store_that_fails(verb: str) -> None:
    rig, client = one(wait=True)
    for method in ("get", "query", "cancel", "subscribe", "unsubscribe"):
        rig.store.faults.fail_next(method, StoreError("the whole truth"))
    answer = client.ask(f"streamer.{verb}", {"request_id": "r"})
    assert code_of(answer) == "STORAGE_ERROR"
    assert "truth" not in json.dumps(answer)
