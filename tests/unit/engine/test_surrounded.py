"""What plugins see, and may add, around a message that is taken and a request that is stored."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from streamer_core import Reject, handler
from streamer_core.errors import Refused, StoreError, Throttled
from streamer_core.markers import hookimpl
from streamer_core.model.request import Request
from tests.conftest import Lines
from tests.unit.harness import Rig, code_of


@handler("queued", mode="async", retry={"max_attempts": 1})
def queued(payload: dict[str, Any]) -> None:
    if payload.get("no"):
        raise Reject("a.no", "no")


@handler("once", mode="sync", idempotent=True)
def once() -> int:
    return 1


class Around:
    """Keeps what it saw of each message and of each write."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.written: list[Any] = []

    @hookimpl
    @contextmanager
    def streamer_around_message(self) -> Iterator[None]:
        try:
            yield
        except Refused as error:
            self.taken.append(error.code)
            raise

    @hookimpl(wrapper=True)
    def streamer_enqueue(self, requests: Any) -> Any:
        try:
            answers = yield
        except StoreError as error:
            self.written.append(type(error).__name__)
            raise
        self.written.append([getattr(one, "created", type(one).__name__) for one in answers])
        return answers


def gives(**texts: str) -> object:
    class Gives:
        @hookimpl
        def streamer_metadata(self, request: Request) -> dict[str, str]:
            return texts

    return Gives()


def test_what_plugins_give_is_stored_with_the_request() -> None:
    # A rig's plugins are asked last to first.
    rig = Rig(queued, once, plugins=[gives(b="2", c="2"), gives(a="1", b="1")])
    client = rig.client()
    client.send("queued", {}, id="q", metadata={"a": "mine", "d": "mine"})
    client.send("once", {}, id="o")
    given = {"a": "1", "b": "1", "c": "2"}
    assert rig.stored(client.ref("q")).metadata == {**given, "d": "mine"}
    assert rig.stored(client.ref("o")).metadata == given


def test_who_gives_nothing_or_fails_costs_no_request(logs: Lines) -> None:
    class Broken:
        @hookimpl
        def streamer_metadata(self) -> Any:
            raise RuntimeError

    class Silent:
        @hookimpl
        def streamer_metadata(self) -> None: ...

    rig = Rig(queued, plugins=[Broken(), Silent(), gives(a="1")])
    client = rig.client()
    assert client.ask("queued", {}, id="q")["type"] == "acknowledgment"
    assert rig.stored(client.ref("q")).metadata == {"a": "1"}
    assert logs[0]["event"] == "plugin failed"
    assert logs[0]["hook"] == "streamer_metadata"


def test_a_redrive_is_asked_for_too() -> None:
    asked: list[str | None] = []

    class Asked:
        @hookimpl
        def streamer_metadata(self, request: Request) -> dict[str, str]:
            asked.append(request.redriven_from)
            return {"n": str(len(asked))}

    around = Around()
    rig = Rig(queued, plugins=[Asked(), around])
    client = rig.client()
    client.send("queued", {"no": True}, id="q")
    rig.work()
    again = rig.app.redrive(client.ref("q"))
    assert rig.app.redrive(client.ref("q")).ref == again.ref
    assert asked == [None, client.ref("q"), client.ref("q")]
    assert rig.stored(again.ref).metadata == {"n": "2"}
    assert around.written == [[True], [True], [False]]


@pytest.mark.parametrize("action", ["queued", "once"])
def test_a_write_that_fails_is_seen(action: str, logs: Lines) -> None:
    around = Around()
    rig = Rig(queued, once, plugins=[around])
    client = rig.client()
    rig.store.faults.fail_next("enqueue", Throttled("slow down"))
    assert code_of(client.ask(action, {}, id="r")) == "STORAGE_ERROR"
    assert client.send(action, {}, id="r")[0]["type"] != "error"
    assert around.written == ["Throttled" if action == "once" else ["Throttled"], [True]]


def test_what_fails_inside_is_a_refusal_and_logged_there(logs: Lines) -> None:
    class Broken:
        @hookimpl
        def streamer_limit(self, request: Any) -> None:
            if request is not None:
                raise OSError("secret")

    around = Around()
    rig = Rig(queued, plugins=[around, Broken()])
    answer = rig.client().ask("queued", {})
    assert code_of(answer) == "INTERNAL_ERROR"
    assert "secret" not in str(answer)
    assert around.taken == ["INTERNAL_ERROR"]
    assert [line["event"] for line in logs] == ["message failed"]


def test_a_refusal_is_seen_as_it_is() -> None:
    around = Around()
    rig = Rig(queued, plugins=[around])
    answer = rig.client().ask("queued", options={"priority": "high"})
    assert code_of(answer) == "FORBIDDEN"
    assert around.taken == ["FORBIDDEN"]


def test_the_frameworks_own_actions_are_not_surrounded() -> None:
    class Never:
        @hookimpl
        def streamer_around_message(self) -> None:
            pytest.fail("it should not be called")

    assert Rig(plugins=[Never()]).client().ask("streamer.ping")["type"] == "pong"


class BreaksAroundMessages:
    @hookimpl
    @contextmanager
    def streamer_around_message(self) -> Iterator[None]:
        yield
        raise RuntimeError("broke")


class GivesNoContextManager:
    @hookimpl
    def streamer_around_message(self) -> str:
        return "broke"


class BreaksAroundWrites:
    @hookimpl(wrapper=True)
    def streamer_enqueue(self) -> Any:
        yield
        raise RuntimeError("broke")


@pytest.mark.parametrize(
    "plugin", [BreaksAroundMessages, GivesNoContextManager, BreaksAroundWrites]
)
def test_what_surrounds_and_breaks_costs_one_message(plugin: type, logs: Lines) -> None:
    rig = Rig(queued, plugins=[plugin()])
    answer = rig.client().ask("queued", {}, id="q")
    assert code_of(answer) == "INTERNAL_ERROR"
    assert "broke" not in str(answer)
    assert logs[0]["event"] == "message failed"


def noting(order: list[str], name: str) -> object:
    class Noting:
        @hookimpl
        @contextmanager
        def streamer_around_message(self) -> Iterator[None]:
            order.append(f"message {name} begins")
            yield
            order.append(f"message {name} ends")

        @hookimpl
        @contextmanager
        def streamer_around_call(self) -> Iterator[None]:
            order.append(f"call {name} begins")
            yield
            order.append(f"call {name} ends")

    return Noting()


@pytest.mark.parametrize("names", ["a", "ab", "abc", "abcde"])
def test_the_first_plugin_is_the_outermost(names: str) -> None:
    @handler("body")
    def body() -> None:
        order.append("body")

    order: list[str] = []
    # A rig's plugins are asked last to first.
    rig = Rig(body, plugins=[noting(order, name) for name in reversed(names)])
    assert rig.client().ask("body")["type"] == "response"
    entered = [f"{what} {name} begins" for what in ("message", "call") for name in names]
    left = [one.replace("begins", "ends") for one in reversed(entered)]
    assert order == [*entered, "body", *left]


@pytest.mark.parametrize("hook", ["streamer_around_message", "streamer_around_call"])
@pytest.mark.parametrize("others", [0, 1, 2])
def test_an_error_cannot_be_made_to_vanish(hook: str, others: int, logs: Lines) -> None:
    @handler("fails")
    def fails() -> None:
        raise Refused("No")

    @hookimpl
    def around(self: object) -> Any:
        return suppress(Refused)

    vanishing = type("Vanishing", (), {hook: around})()
    rig = Rig(fails, plugins=[vanishing, *(noting([], "n") for _ in range(others))])
    asked = {"options": {"priority": "high"}} if hook == "streamer_around_message" else {}
    assert code_of(rig.client().ask("fails", **asked)) in {"INTERNAL_ERROR", "PROCESSING_FAILED"}
    assert "made an error vanish" in str(logs[0])


def test_what_is_refused_on_entering_a_call_is_its_failure() -> None:
    @handler("body")
    def body() -> None:
        pytest.fail("it should not be called")

    class Never:
        @hookimpl
        @contextmanager
        def streamer_around_call(self) -> Iterator[None]:
            raise Reject("not.now", "not now")
            yield

    assert code_of(Rig(body, plugins=[Never()]).client().ask("body")) == "not.now"
