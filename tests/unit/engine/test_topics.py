"""Topics: declared, ruled, and a tenant's own."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from streamer_core import Context, Principal, handler, topic
from streamer_core.errors import Forbidden
from streamer_core.markers import hookimpl
from streamer_core.model.call import Outgoing
from tests.conftest import Lines
from tests.unit.harness import Client, Rig, code_of

SECRET = "the whole truth"


@topic("room:{name}")
def may_join(principal: Principal, name: str) -> bool:
    if name == "broken":
        raise RuntimeError(SECRET)
    if name == "refused":
        raise Forbidden(SECRET)
    return name != "closed" or principal.may("vip")


@handler("say")
def say(payload: dict[str, Any], ctx: Context) -> str:
    ctx.publish(payload["topic"], payload.get("data"))
    return "said"


def join(client: Client, name: str) -> dict[str, Any]:
    return client.ask("streamer.subscribe", {"topic": name})


def test_events_reach_who_joined() -> None:
    rig = Rig(may_join, say)
    ann, bob, eve = rig.client("ann"), rig.client("bob"), rig.client("eve")
    assert join(ann, "room:1")["data"] == {"topic": "room:1"}
    join(bob, "room:1")
    join(eve, "room:2")
    assert ann.ask("say", {"topic": "room:1", "data": {"x": 1}})["data"] == "said"
    event = {"type": "event", "timestamp": rig.clock.now(), "topic": "room:1", "data": {"x": 1}}
    assert list(ann.inbox) == list(bob.inbox) == [event]
    assert not eve.inbox
    ann.ask("streamer.unsubscribe", {"topic": "room:1"})
    bob.ask("say", {"topic": "room:1"})
    assert (len(ann.inbox), len(bob.inbox)) == (1, 2)


def test_tenants_are_apart() -> None:
    rig = Rig(may_join, say)
    here, there = rig.client(), rig.client(tenant="other")
    join(here, "room:1")
    join(there, "room:1")
    here.ask("say", {"topic": "room:1"})
    assert (len(here.inbox), len(there.inbox)) == (1, 0)


@pytest.mark.parametrize(
    "name", ["news", "room:", "room:1:2", "room:closed", "room:broken", "room:refused", "streamer"]
)
def test_who_may_not_join_cannot_tell_why(name: str, logs: Lines) -> None:
    rig = Rig(may_join)
    answer = join(rig.client(), name)
    assert answer["error"] == {"code": "FORBIDDEN", "message": "This topic cannot be joined"}
    assert SECRET not in json.dumps(answer)
    assert (SECRET in str(logs)) is (name in {"room:broken", "room:refused"})


def test_the_rule_knows_who_asks() -> None:
    assert join(Rig(may_join).client(scopes="vip"), "room:closed")["type"] == "response"


@pytest.mark.parametrize("name", ["", 3, None, ["room:1"], "x" * 257])
@pytest.mark.parametrize("verb", ["subscribe", "unsubscribe"])
def test_what_is_no_topic(verb: str, name: Any) -> None:
    answer = Rig(may_join).client().ask(f"streamer.{verb}", {"topic": name})
    assert code_of(answer) == "VALIDATION_ERROR"


class Gate:
    def __init__(self, verb: str) -> None:
        self.verb = verb

    @hookimpl
    def streamer_authorize(self, verb: str, resource: Any) -> None:
        if verb == self.verb:
            assert (resource.kind, resource.topic.pattern) == ("topic", "room:{name}")
            raise Forbidden("Closed")


def test_gates() -> None:
    rig = Rig(may_join, say, plugins=[Gate("subscribe")])
    assert code_of(join(rig.client(), "room:1")) == "FORBIDDEN"
    rig = Rig(may_join, say, plugins=[Gate("publish")])
    assert code_of(rig.client().ask("say", {"topic": "room:1"})) == "FORBIDDEN"


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("news", 1, "PROCESSING_FAILED"),
        ("room:1", object(), "PROCESSING_FAILED"),
        ("room:1", "x" * 131_072, "PAYLOAD_TOO_LARGE"),
    ],
    ids=["undeclared", "object", "large"],
)
def test_what_cannot_be_published(name: str, data: Any, code: str) -> None:
    @handler("say")
    def badly(ctx: Context) -> None:
        ctx.publish(name, data)

    assert code_of(Rig(may_join, badly).client().ask("say")) == code


def test_a_busy_subscriber_misses_an_event_and_a_gone_one_is_forgotten() -> None:
    rig = Rig(may_join, say)
    busy, gone = rig.client("bob"), rig.client("eve")
    join(busy, "room:1")
    join(gone, "room:1")
    rig.transport.busy_next(busy.id)
    gone.go()
    for _ in range(2):
        rig.client().ask("say", {"topic": "room:1"})
    assert len(busy.inbox) == 1
    assert rig.store.get_connection(gone.id) is None


class Elsewhere:
    """Takes events over, or says or fails as it is told."""

    def __init__(self, answer: bool | Exception | None) -> None:
        self.answer = answer
        self.asked: list[tuple[Outgoing, Sequence[str]]] = []

    @hookimpl
    def streamer_fan_out(self, event: Outgoing, connections: Sequence[str]) -> bool | None:
        self.asked.append((event, connections))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_an_event_may_be_handed_over_to_be_sent_elsewhere() -> None:
    elsewhere = Elsewhere(True)
    rig = Rig(may_join, say, plugins=[elsewhere])
    ann, bob = rig.client("ann"), rig.client("bob")
    ann.ask("say", {"topic": "room:1"})
    assert not elsewhere.asked  # nobody is there
    join(ann, "room:1")
    join(bob, "room:1")
    ann.ask("say", {"topic": "room:1", "data": "hi"})
    assert not ann.inbox
    ((event, connections),) = elsewhere.asked
    assert set(connections) == {ann.id, bob.id}
    rig.app.send(event, [bob.id])
    assert [one["data"] for one in bob.inbox] == ["hi"]
    assert not ann.inbox


@pytest.mark.parametrize("answer", [None, False, RuntimeError(SECRET)], ids=str)
def test_what_nobody_takes_over_is_sent_here(answer: Any, logs: Lines) -> None:
    rig = Rig(may_join, say, plugins=[Elsewhere(answer)])
    ann = rig.client("ann")
    join(ann, "room:1")
    assert ann.ask("say", {"topic": "room:1"})["data"] == "said"
    assert len(ann.inbox) == 1
    said = [line["event"] for line in logs]
    assert said == (["an event could not be handed over"] if answer else [])
