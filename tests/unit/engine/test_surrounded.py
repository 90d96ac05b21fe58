"""What plugins see, and may add, around a message that is taken and a request that is stored."""

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

    @hookimpl(wrapper=True)
    def streamer_receive(self, request: Any) -> Any:
        try:
            return (yield)
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
        @hookimpl(wrapper=True)
        def streamer_receive(self) -> Any:
            pytest.fail("it should not be called")
            yield

    assert Rig(plugins=[Never()]).client().ask("streamer.ping")["type"] == "pong"


@pytest.mark.parametrize("hook", ["streamer_receive", "streamer_enqueue"])
def test_a_wrapper_that_breaks_costs_one_message(hook: str, logs: Lines) -> None:
    def wrapper(self: object) -> Any:
        yield
        raise RuntimeError("broke")

    plugin = type("Breaking", (), {hook: hookimpl(wrapper=True)(wrapper)})()
    rig = Rig(queued, plugins=[plugin])
    answer = rig.client().ask("queued", {}, id="q")
    assert code_of(answer) == "INTERNAL_ERROR"
    assert "broke" not in str(answer)
    assert logs[0]["event"] == "message failed"
