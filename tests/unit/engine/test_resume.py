"""Coming back: all that was missed, or an honest word that it is not to be had. Promise 5."""

from typing import Any

import pytest

from streamer_core import Context, handler
from streamer_core.errors import StoreError
from streamer_core.model.update import Update
from streamer_core.testing import MemoryStore
from tests.unit.harness import Client, Rig, Wire, code_of, interrupting, mirror


@handler("a", mode="async")
def emits(payload: dict[str, Any], ctx: Context) -> str:
    for number in range(payload.get("n", 3)):
        ctx.emit(number)
    ctx.progress(80, "nearly")
    if payload.get("wait"):
        ctx.checkpoint(1)
        ctx.continue_later(after="1h")
    return "done"


def resume(client: Client, seen: int = 0, request_id: str = "r") -> list[Wire]:
    return client.send("streamer.resume", {"requests": {request_id: seen}})


def finished(**payload: Any) -> tuple[Rig, Client]:
    rig = Rig(emits)
    client = rig.client()
    client.ask("a", payload, id="r")
    rig.app.work()
    return rig, client


def hide_updates(store: MemoryStore, ref: str, through: int) -> None:
    """Let the older updates have expired, as a store with a limit would."""
    row = store.data.rows[ref]
    kept = [update for update in row.updates if update.seq > through]

    def updates(asked: str, *, after: int = 0, limit: int = 200) -> list[Update]:
        assert asked == ref
        return [update for update in kept if update.seq > after][:limit]

    store.updates = updates  # type: ignore[method-assign,assignment]


def test_all_that_was_missed() -> None:
    rig, client = finished()
    back = rig.client()
    answers = resume(back, 1)
    assert answers[:-1] == [m for m in client.inbox if m.get("seq", 0) > 1]
    assert answers[-1] == {
        "type": "resumed",
        "timestamp": rig.clock.now(),
        "request_id": "r",
        "recovered": True,
        "last_seq": 4,
        "more": False,
    }


def test_nothing_was_missed() -> None:
    rig, _ = finished()
    (answer,) = resume(rig.client(), 4)
    assert (answer["recovered"], answer["last_seq"], answer["more"]) == (True, 4, False)


def test_a_running_request_shows_its_newest_progress() -> None:
    rig, _ = finished(wait=True)
    answers = resume(rig.client(), 3)
    assert [answer["type"] for answer in answers] == ["progress", "resumed"]
    assert answers[0]["percentage"] == 80


def test_pages() -> None:
    rig, _ = finished(n=450)
    back = rig.client()
    taken = mirror([])
    pages = []
    more = True
    while more:
        answers = resume(back, taken.last_seq)
        for answer in answers[:-1]:
            taken.take(answer)
        closing = answers[-1]
        assert (closing["recovered"], closing["last_seq"]) == (True, taken.last_seq)
        pages.append(len(answers) - 1)
        more = closing["more"]
    assert pages == [200, 200, 51]
    assert taken.output == list(range(450))
    assert taken.terminal is not None


def test_a_page_of_large_updates_is_short() -> None:
    @handler("a", mode="async")
    def large(ctx: Context) -> None:
        for _ in range(20):
            ctx.emit("x" * 120_000)

    rig = Rig(large)
    rig.client().ask("a", id="r")
    rig.app.work()
    answers = resume(rig.client())
    assert len(answers) < 12
    assert answers[-1]["more"] is True


def test_what_has_expired_is_said_to_have() -> None:
    rig, client = finished()
    hide_updates(rig.store, client.ref("r"), through=2)
    answers = resume(rig.client(), 0)
    assert [answer.get("seq") for answer in answers[:-1]] == [3, 4]
    assert (answers[-1]["recovered"], answers[-1]["last_seq"]) == (False, 4)
    assert resume(rig.client(), 2)[-1]["recovered"] is True


def test_the_end_is_told_though_all_updates_have_expired() -> None:
    rig, client = finished()
    hide_updates(rig.store, client.ref("r"), through=99)
    end, closing = resume(rig.client(), 0)
    assert end == client.inbox[-1]
    assert (closing["recovered"], closing["last_seq"], closing["more"]) == (False, 4, False)


def test_a_client_that_has_seen_more_than_there_is() -> None:
    """As of an older request of the same id, since forgotten."""
    rig, client = finished()
    end, closing = resume(rig.client(), 100)
    assert end == client.inbox[-1]
    assert (closing["recovered"], closing["last_seq"]) == (False, 4)
    rig, _ = finished(wait=True)
    progress, closing = resume(rig.client(), 100)
    assert progress["type"] == "progress"
    assert (closing["recovered"], closing["last_seq"]) == (False, 3)


def test_live_updates_follow() -> None:
    rig, client = finished(wait=True)
    back = rig.client()
    answers = resume(back)
    rig.clock.advance(3_600_000)
    rig.app.work()
    assert mirror([*answers, *back.inbox]).output == mirror(client.inbox).output


def test_the_subscription_is_written_before_the_replay_is_read() -> None:
    """What is stored between the two is sent live: nothing falls between."""

    @handler("a", mode="async")
    def joined(ctx: Context) -> str:
        ctx.emit(1)
        ctx.checkpoint(None)

        def append() -> None:
            ctx.emit(2)
            ctx.checkpoint(None)

        for verb in ("get", "subscribe", "updates"):
            with interrupting(rig.store, verb, append):
                back = rig.client()
                backs.append((back, resume(back)))
        return "done"

    backs: list[tuple[Client, list[Wire]]] = []
    rig = Rig(joined)
    client = rig.client()
    client.ask("a", id="r")
    rig.app.work()
    expected = mirror(client.inbox).output
    assert len(expected) == 4
    for back, answers in backs:
        seen = mirror([*answers, *back.inbox])
        assert seen.output == expected
        assert seen.terminal is not None


@pytest.mark.parametrize(
    ("user", "tenant", "scopes"),
    [("bob", "acme", ""), ("ann", "other", ""), ("bob", "acme", "streamer:admin")],
)
def test_of_others_nothing_is_known(user: str, tenant: str, scopes: str) -> None:
    rig, client = finished()
    other = rig.client(user, tenant=tenant, scopes=scopes)
    (answer,) = resume(other)
    assert (code_of(answer), answer["request_id"]) == ("NOT_FOUND", "r")
    assert other.id not in rig.store.subscribers(f"request/{client.ref('r')}")


def test_one_that_is_not_found_hinders_no_other() -> None:
    rig, _ = finished()
    answers = rig.client().send("streamer.resume", {"requests": {"x": 0, "r": 3}})
    assert [answer["type"] for answer in answers] == ["error", "complete", "resumed"]


def test_a_forgotten_request_is_not_found() -> None:
    rig, _ = finished()
    rig.clock.advance(7 * 86_400_000)
    assert code_of(resume(rig.client())[0]) == "NOT_FOUND"


@pytest.mark.parametrize(
    ("requests", "path"),
    [
        (None, "payload.requests"),
        ([], "payload.requests"),
        ({f"r-{n}": 0 for n in range(51)}, "payload.requests"),
        ({"r": -1}, "payload.requests.r"),
        ({"r": True}, "payload.requests.r"),
        ({"r": "1"}, "payload.requests.r"),
        ({"r": 1.5}, "payload.requests.r"),
        ({"r": None}, "payload.requests.r"),
        ({"r": 10**30}, "payload.requests.r"),
        ({"": 0}, "payload.requests"),
        ({"a b": 0}, "payload.requests"),
        ({"x" * 120_000: 0}, "payload.requests"),
    ],
)
def test_what_cannot_be_resumed(requests: Any, path: str) -> None:
    (answer,) = Rig().client().send("streamer.resume", {"requests": requests})
    assert code_of(answer) == "VALIDATION_ERROR"
    assert answer["error"]["details"][0]["path"] == path


def test_fifty_are_taken() -> None:
    answers = Rig().client().send("streamer.resume", {"requests": {f"r-{n}": 0 for n in range(50)}})
    assert [code_of(answer) for answer in answers] == ["NOT_FOUND"] * 50


def test_a_store_that_fails() -> None:
    rig, _ = finished()
    back = rig.client()
    rig.store.faults.fail_next("updates", StoreError("x"))
    (answer,) = resume(back)
    assert code_of(answer) == "STORAGE_ERROR"


# -- hello


def test_hello() -> None:
    rig = Rig()
    client = rig.client()
    answer = client.ask("streamer.hello", {"version": 1}, id="h")
    assert (answer["type"], answer["version"], answer["request_id"]) == ("welcome", 1, "h")
    assert answer["connection_id"] == client.id
    assert answer["limits"] == {
        "message_bytes": 131_072,
        "sync_ms": 29_000,
        "connection_ms": 7_200_000,
        "delay_ms": 30 * 86_400_000,
    }
    assert answer["server"].startswith("streamer/")


def test_hello_with_resume() -> None:
    rig, _ = finished()
    answers = rig.client().send("streamer.hello", {"version": 1, "resume": {"r": 2}})
    kinds = [answer["type"] for answer in answers]
    assert kinds == ["welcome", "chunk", "complete", "resumed"]


@pytest.mark.parametrize("payload", [{}, {"version": 2}, {"version": "1"}, {"version": True}])
def test_hello_of_another_version(payload: dict[str, Any]) -> None:
    answer = Rig().client().ask("streamer.hello", payload)
    assert code_of(answer) == "UNSUPPORTED_VERSION"
    assert answer["error"]["details"] == {"supported": [1]}


def test_hello_with_a_wrong_resume() -> None:
    answer = Rig().client().ask("streamer.hello", {"version": 1, "resume": ["r"]})
    assert code_of(answer) == "VALIDATION_ERROR"
