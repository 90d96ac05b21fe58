"""Starting failed requests again: a new request, of which the old one's followers are told."""

from typing import Any

import pytest

from streamer_core import Context, Settings, Streamer, handler
from streamer_core.errors import Conflict, NotFound, StoreError
from streamer_core.model.request import Status
from streamer_core.ports.detached import Detached
from tests.conftest import Lines
from tests.unit.harness import Client, Rig


@handler("a", mode="async", retry={"max_attempts": 1})
def function(payload: dict[str, Any], ctx: Context) -> Any:
    if "wait" in payload:
        ctx.continue_later(after="1h")
    if payload.get("heals", "never") not in ctx.request_id:
        raise RuntimeError("not yet")
    ctx.emit("a piece")
    return "mended"


def failed(*sources: Any, **payload: Any) -> tuple[Rig, Client, str]:
    """Give a request of the client's that has failed for good."""
    rig = Rig(*(sources or (function,)))
    client = rig.client()
    client.ask("a", payload, id="r")
    rig.work()
    client.inbox.clear()
    return rig, client, client.ref("r")


def mended() -> tuple[Rig, Client, str]:
    """Give one that will complete when it is redriven."""
    return failed(heals=".redrive-")


def test_a_redrive_is_a_new_request() -> None:
    rig, _, ref = failed(fail=1)
    old = rig.stored(ref)
    new = rig.app.redrive(ref)
    assert (new.redriven_from, new.status, new.payload) == (ref, Status.PENDING, {"fail": 1})
    assert (new.user, new.tenant, new.action, new.policy) == ("ann", "acme", "a", old.policy)
    assert new.ref != ref
    assert rig.app.redrive(ref).ref == new.ref
    rig.clock.advance(60_000)
    assert rig.work() == 1
    assert rig.stored(ref) == old
    again = rig.app.redrive(new.ref)
    assert again.redriven_from == new.ref


def test_a_redrive_may_wait() -> None:
    rig, _, ref = mended()
    assert rig.app.redrive(ref, delay_ms=5_000).due_at == rig.clock.now() + 5_000
    assert rig.work() == 0
    rig.clock.advance(5_000)
    assert rig.work() == 1


@pytest.mark.parametrize("wait", [False, True])
def test_only_what_failed_is_redriven(wait: bool) -> None:
    rig, _, ref = failed(wait=1) if wait else mended()
    done = rig.app.redrive(ref).ref if not wait else ref
    rig.work()
    with pytest.raises(Conflict):
        rig.app.redrive(done)
    with pytest.raises(Conflict):
        rig.app.redrive_record(rig.stored(done))
    with pytest.raises(NotFound):
        rig.app.redrive("nothing")


def test_the_longest_id_is_redriven() -> None:
    rig = Rig(function)
    client = rig.client()
    request_id = "x" * 128
    client.ask("a", {"fail": 1}, id=request_id)
    rig.work()
    new = rig.app.redrive(client.ref(request_id))
    assert len(new.id) <= 128
    assert client.ask("streamer.status", {"request_id": new.id})["data"]["ref"] == new.ref


def test_long_ids_that_differ_only_at_their_end_have_redrives_of_their_own() -> None:
    """Those of one tenant's user, accepted in the same millisecond."""
    rig = Rig(function)
    client = rig.client()
    ids = ["x" * 127 + end for end in "ab"]
    for one in ids:
        client.ask("a", id=one)
    assert rig.work() == 2
    first, second = [rig.app.redrive(client.ref(one)) for one in ids]
    assert [first.redriven_from, second.redriven_from] == [client.ref(one) for one in ids]


def test_what_is_forgotten_is_redriven_from_its_record() -> None:
    rig, _, ref = mended()
    old = rig.stored(ref)
    rig.clock.advance(rig.app.settings.core.keep)
    assert rig.store.get(ref) is None
    new = rig.app.redrive_record(old)
    assert rig.app.redrive_record(old) == new
    rig.work()
    assert rig.stored(new.ref).status is Status.COMPLETED


def test_a_later_request_of_the_same_id_has_a_redrive_of_its_own() -> None:
    rig, client, ref = failed(fail=1)
    rig.clock.advance(rig.app.settings.core.keep - 1)
    first = rig.app.redrive(ref)
    rig.work()
    rig.clock.advance(1)
    client = rig.client()
    client.ask("a", {"fail": 2}, id="r")
    rig.work()
    second = rig.app.redrive(client.ref("r"))
    assert rig.stored(first.ref).payload == {"fail": 1}
    assert second.payload == {"fail": 2}


def test_whoever_follows_the_old_one_is_told_and_follows_the_new_one() -> None:
    rig, client, ref = mended()
    other, stranger = rig.client(), rig.client()
    other.send("streamer.subscribe", {"request_id": "r"})
    # As a command does: it cannot send.
    operator = Streamer(
        Settings.of({}),
        store=rig.store,
        transport=Detached(),
        clock=rig.clock,
        found=[],
        load_handlers=False,
    )
    new = operator.redrive(ref)
    assert client.kinds == other.kinds == []
    rig.work()
    for one in (client, other):
        assert one.kinds == ["acknowledgment", "chunk", "complete"]
        told = one.inbox[0]
        assert (told["redriven_from"], told["ref"], told["status"]) == (ref, new.ref, "processing")
        assert {message["request_id"] for message in one.inbox} == {new.id}
    assert stranger.kinds == []
    assert rig.stored(new.ref).sent_seq == 2


def test_each_is_told_once_however_often_it_is_run() -> None:
    @handler("a", mode="async", retry={"max_attempts": 1})
    def waits(ctx: Context) -> str:
        if ".redrive-" not in ctx.request_id:
            raise RuntimeError
        if ctx.restored is None:
            ctx.continue_later({"begun": True}, after="1s")
        return "done"

    rig, client, ref = failed(waits)
    rig.app.redrive(ref)
    assert rig.work() == 1
    late = rig.client()
    answers = late.send("streamer.subscribe", {"request_id": "r"})
    assert [one["type"] for one in answers] == ["response", "error", "acknowledgment"]
    rig.clock.advance(1_000)
    assert rig.work() == 1
    assert client.kinds == ["acknowledgment", "complete"]
    assert late.kinds == ["complete"]


def test_a_follower_that_is_gone_is_forgotten() -> None:
    rig, client, ref = mended()
    client.go()
    new = rig.app.redrive(ref)
    rig.work()
    assert rig.store.get_connection(client.id) is None
    assert rig.stored(new.ref).status is Status.COMPLETED


def test_it_runs_where_the_followers_cannot_be_told(logs: Lines) -> None:
    rig, client, ref = mended()
    new = rig.app.redrive(ref)
    rig.store.faults.fail_next("subscribers", StoreError("no disk"))
    rig.work()
    assert rig.stored(new.ref).status is Status.COMPLETED
    assert client.kinds == []
    (line,) = [one for one in logs if "were not told" in one["event"]]
    assert line["ref"] == new.ref


def test_a_repeat_of_the_new_one_is_told_what_it_is() -> None:
    rig, client, ref = mended()
    new = rig.app.redrive(ref)
    answer, *_ = client.send("a", dict(new.payload), id=new.id)
    assert (answer["type"], answer["redriven_from"]) == ("acknowledgment", ref)


@pytest.mark.parametrize("begun", [False, True])
def test_whoever_asks_for_the_old_one_later_is_told_too(begun: bool) -> None:
    rig, _, ref = mended()
    new = rig.app.redrive(ref)
    if begun:
        rig.work()
    late = rig.client()
    *_, closing, told = late.send("streamer.resume", {"requests": {"r": 0}})
    assert (closing["type"], closing["request_id"]) == ("resumed", "r")
    assert (told["type"], told["redriven_from"], told["ref"]) == ("acknowledgment", ref, new.ref)
    assert told["status"] == ("completed" if begun else "queued")
    assert late.send("streamer.subscribe", {"ref": ref})[-1]["ref"] == new.ref
    rig.work()
    assert late.kinds == ([] if begun else ["chunk", "complete"]), (
        "it follows that, and is told once"
    )


def test_of_what_was_not_redriven_nobody_is_told() -> None:
    rig, client, ref = mended()
    assert client.send("streamer.resume", {"requests": {"r": 0}})[-1]["type"] == "resumed"
    assert client.send("streamer.subscribe", {"ref": ref})[-1]["type"] == "error"
    rig.app.redrive(ref)
    rig.work()
    new = client.inbox[0]["request_id"]
    assert client.send("streamer.resume", {"requests": {new: 0}})[-1]["type"] == "resumed"
