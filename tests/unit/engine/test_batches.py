"""Many at once: messages stored together, requests claimed, run and settled together."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from streamer_core import Context
from streamer_core.engine.received import Received
from streamer_core.engine.submit import Storing
from streamer_core.engine.work import Ran
from streamer_core.errors import StoreError
from streamer_core.markers import hookimpl
from streamer_core.model.counter import Count
from streamer_core.model.request import Request, Status
from streamer_core.ports import Delivery
from tests.unit.harness import Client, Rig, code_of, handler, interrupting


@handler("a", mode="async", retry={"max_attempts": 2, "backoff": "1s"})
def a(payload: dict[str, Any], ctx: Context) -> Any:
    if payload.get("fail"):
        raise OSError
    if payload.get("emit"):
        ctx.emit("piece")
    return payload.get("give", 1)


@handler("at_once")
def at_once(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


class OneOnly:
    """Has room for one request at a time."""

    @hookimpl
    def streamer_admit(self, request: Any) -> list[Count] | None:
        return request and [Count(key="one", amount=1, limit=1), Count(key="one", amount=-1)]


def frame(request_id: str, action: str = "a", **payload: Any) -> bytes:
    return json.dumps({"id": request_id, "action": action, "payload": payload}).encode()


def taken(client: Client, *frames: bytes) -> list[Storing]:
    found = [client.rig.app.take(client.connection, one) for one in frames]
    assert all(isinstance(one, Storing) for one in found)
    return [one for one in found if isinstance(one, Storing)]


def answers(received: list[Received]) -> list[dict[str, Any]]:
    return [json.loads(one.frames[0]) for one in received]


def enqueued(rig: Rig, **payloads: dict[str, Any]) -> Client:
    client = rig.client()
    rig.app.store_all(taken(client, *(frame(name, **one) for name, one in payloads.items())))
    return client


def ran(rig: Rig, at_most: int = 10) -> list[Ran]:
    return [rig.app.execute(request) for request in rig.app.claim(at_most)]


def raising(error: Exception) -> Callable[[], object]:
    def fail() -> object:
        raise error

    return fail


# -- storing


def test_nothing_is_stored_before_it_is_asked_for() -> None:
    rig = Rig(a)
    client = rig.client()
    those = taken(client, frame("r-1"), frame("r-2"))
    assert rig.store.get(client.ref("r-1")) is None
    acknowledged = answers(rig.app.store_all(those))
    assert [one["request_id"] for one in acknowledged] == ["r-1", "r-2"]
    assert {one["type"] for one in acknowledged} == {"acknowledgment"}
    assert rig.stored(client.ref("r-2")).status is Status.PENDING


def test_what_is_answered_at_once_is_not_left_to_be_stored() -> None:
    rig = Rig(a, at_once)
    client = rig.client()
    (answer,) = answers([_received(rig, client, frame("r", "at_once", n=1))])
    assert answer["data"] == {"n": 1}
    (refused,) = answers([_received(rig, client, b"no json")])
    assert code_of(refused) == "INVALID_MESSAGE"


def _received(rig: Rig, client: Client, data: bytes) -> Received:
    received = rig.app.take(client.connection, data)
    assert isinstance(received, Received)
    return received


def test_each_of_a_batch_has_its_own_answer() -> None:
    rig = Rig(a, plugins=[OneOnly()])
    client = rig.client()
    those = taken(client, frame("r-1"), frame("r-2"), frame("r-1"), frame("r-1", other=1))
    stored, no_room, repeated, another = answers(rig.app.store_all(those))
    assert stored["type"] == repeated["type"] == "acknowledgment"
    assert code_of(no_room) == "QUOTA_EXCEEDED"
    assert code_of(another) == "DUPLICATE_REQUEST"


@pytest.mark.parametrize("error", [StoreError("the whole truth"), OSError("the whole truth")])
def test_a_store_that_fails_acknowledges_nothing(error: Exception) -> None:
    rig = Rig(a)
    client = rig.client()
    those = taken(client, frame("r-1"), frame("r-2"))

    with interrupting(rig.store, "enqueue_all", raising(error)):
        refused = answers(rig.app.store_all(those))
    expected = "STORAGE_ERROR" if isinstance(error, StoreError) else "INTERNAL_ERROR"
    assert [code_of(one) for one in refused] == [expected] * 2
    assert "truth" not in json.dumps(refused)


# -- claiming, running, settling


def test_many_are_claimed_run_and_settled() -> None:
    rig = Rig(a)
    client = enqueued(rig, **{f"r-{n}": {"give": n} for n in range(5)})
    first = rig.app.claim(3)
    assert [request.id for request in first] == ["r-0", "r-1", "r-2"]
    rig.app.settle([rig.app.execute(request) for request in first])
    assert [one["result"] for one in client.of("complete")] == [0, 1, 2]
    rig.app.settle(ran(rig))
    assert [one["result"] for one in client.of("complete")] == [0, 1, 2, 3, 4]
    assert not rig.app.claim(3)
    assert not rig.pulse.running


def test_each_of_a_batch_has_its_own_end() -> None:
    rig = Rig(a)
    client = enqueued(
        rig,
        good={},
        failing={"fail": 1},
        unwritable={"give": {"n": float("1e308")}},
        piece={"emit": 1},
    )
    rig.app.settle(ran(rig))
    statuses = {name: rig.stored(client.ref(name)).status for name in ("good", "failing", "piece")}
    assert statuses == {
        "good": Status.COMPLETED,
        "failing": Status.RETRYING,
        "piece": Status.COMPLETED,
    }
    about = [(one["type"], one["seq"]) for one in client.inbox if one["request_id"] == "piece"]
    assert about == [("chunk", 1), ("complete", 2)]


def test_one_that_was_lost_keeps_no_other_from_its_end() -> None:
    rig = Rig(a)
    client = enqueued(rig, kept={}, lost={})
    those = ran(rig)
    lost = rig.stored(client.ref("lost"))
    rig.store.requeue(lost.ref, fence=lost.fence, due_at=rig.clock.now() + 1000, spend=True)
    rig.app.settle(those)
    assert [one["request_id"] for one in client.of("complete")] == ["kept"]
    assert rig.stored(lost.ref).status is Status.RETRYING
    assert not rig.pulse.running


@pytest.mark.parametrize("error", [StoreError("down"), OSError("down")])
def test_a_store_that_fails_leaves_them_to_the_sweeper(error: Exception) -> None:
    rig = Rig(a)
    client = enqueued(rig, one={}, two={})
    those = ran(rig)
    with interrupting(rig.store, "finish_all", raising(error)):
        rig.app.settle(those)
    assert not client.of("complete")
    assert not rig.pulse.running
    rig.clock.advance(31_000)
    rig.app.sweep()
    rig.clock.advance(2_000)
    assert rig.work() == 2
    assert {one["attempt"] for one in client.of("complete")} == {2}


def test_who_is_busy_gets_its_end_later_and_holds_up_no_other() -> None:
    rig = Rig(a)
    slow = enqueued(rig, slow={})
    quick = rig.client("bob")
    rig.app.store_all(taken(quick, frame("quick")))
    rig.transport.busy_next(slow.id, 2)
    rig.app.settle(ran(rig))
    assert [one["request_id"] for one in quick.of("complete")] == ["quick"]
    assert [one["request_id"] for one in slow.of("complete")] == ["slow"]


def test_a_transport_that_fails_costs_no_request() -> None:
    rig = Rig(a)
    client = enqueued(rig, r={}, s={})
    with interrupting(rig.transport, "send_each", raising(OSError())):
        rig.app.settle(ran(rig))
    assert rig.stored(client.ref("r")).status is Status.COMPLETED
    assert len(client.of("complete")) == 2, "they count as busy, and are sent from the store"


def test_a_surrounded_delivery_sees_what_is_sent_together() -> None:
    seen: list[Any] = []

    class Around:
        @hookimpl(wrapper=True)
        def streamer_deliver(self, pushes: Any) -> Any:
            seen.append([(push.message.type, *push.connections) for push in pushes])
            return (yield)

    rig = Rig(a, plugins=[Around()])
    client = enqueued(rig, one={}, two={})
    rig.app.settle(ran(rig))
    assert seen == [[("complete", client.id)] * 2]
    assert len(client.of("complete")) == 2


def test_what_is_given_back_costs_no_attempt() -> None:
    rig = Rig(a)
    client = enqueued(rig, r={})
    rig.app.give_back(rig.app.claim(1))
    request: Request = rig.stored(client.ref("r"))
    assert (request.status, request.spent, request.lease_until) == (Status.PENDING, 0, None)
    assert rig.work() == 1
    assert client.of("complete")[0]["attempt"] == 1


def test_one_that_was_cancelled_is_not_given_back() -> None:
    rig = Rig(a)
    client = enqueued(rig, r={})
    claimed = rig.app.claim(1)
    client.send("streamer.cancel", {"request_id": "r"})
    rig.app.give_back(claimed)
    assert rig.stored(client.ref("r")).status is Status.CANCELLED
    assert code_of(client.of("error")[0]) == "CANCELLED"


def test_who_drains_claims_nothing() -> None:
    rig = Rig(a)
    enqueued(rig, r={})
    rig.app.runtime.draining.set()
    assert not rig.app.claim(1)


def test_subscribers_are_read_only_where_the_record_does_not_say() -> None:
    """The origin alone follows it: no read. Somebody else does: one."""
    rig = Rig(a)
    client = enqueued(rig, alone={}, followed={})
    rig.client().send("streamer.subscribe", {"request_id": "followed"})
    asked: list[str] = []
    with interrupting(rig.store, "subscribers", lambda: asked.append("once")):
        alone, followed = rig.app.claim(2)
        rig.app.settle([rig.app.execute(alone)])
        assert not asked
        rig.app.settle([rig.app.execute(followed)])
    assert asked == ["once"]
    assert len(client.of("complete")) == 2
    assert rig.transport.send(client.id, b"{}") is Delivery.DELIVERED
