"""The segments of a request, from its message to its last push, as the daemon gets them."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from aws_xray_sdk.core import xray_recorder
from streamer_plugin_xray import XRayPlugin
from streamer_plugin_xray.recorder import PinnedContext
from structlog.contextvars import get_contextvars

from streamer_core import Context, Reject, handler
from streamer_core.handlers import declared
from tests.conftest import Lines
from tests.unit.harness import Rig

ROOT, CALLER = "1-5759e988-bd862e3fe1be46a994272793", "53995c3f42cd8ad8"
GIVEN = {"X-Amzn-Trace-Id": f"Root={ROOT};Parent={CALLER};Sampled=1"}
W3C = {"traceparent": f"00-{ROOT[2:].replace('-', '')}-{CALLER}-01"}


@handler("flaky", mode="async", retry={"backoff": "1s"})
def flaky(payload: dict[str, Any], ctx: Context) -> str:
    ctx.log.info("working", bound=get_contextvars())
    with xray_recorder.in_subsegment("own"):
        ctx.emit("piece")
    if ctx.attempt == 1:
        raise OSError("secret-payload")
    return "done"


@handler("echo")
def echo(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    with xray_recorder.in_subsegment("own"):
        if payload.get("fail"):
            raise Reject("echo.no", "secret-payload")
    return payload


@handler("once", mode="sync", idempotent=True)
def once() -> int:
    return 1


@handler("gives-up", mode="async", retry={"max_attempts": 1})
def gives_up() -> None:
    raise ValueError("secret-payload")


def rig_of(
    daemon: Any, *, beside: Rig | None = None, open_store: Any = None, **section: Any
) -> Rig:
    rig = Rig(flaky, echo, once, gives_up, beside=beside, open_store=open_store, chunk_buffer=1)
    plugin = XRayPlugin(XRayPlugin.Settings(daemon=daemon.address, **section), rig.app)
    rig.plug(plugin)
    plugin.streamer_startup()
    return rig


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Leave the SDK's recorder, of which a process has one, as it was."""
    monkeypatch.delenv("AWS_XRAY_DAEMON_ADDRESS", raising=False)
    context = xray_recorder.context
    yield
    xray_recorder.configure(context=context)


@pytest.fixture(params=[False, True], ids=["segments", "lambda"])
def on_lambda(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Have the invocation's segment in the environment, as Lambda does, or no invocation."""
    if request.param:
        monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={ROOT};Parent={CALLER};Sampled=1")
        monkeypatch.setattr(xray_recorder, "_context", PinnedContext())
        monkeypatch.setattr(xray_recorder, "streaming_threshold", 0)
    return bool(request.param)


def run_flaky(rig: Rig, **message: Any) -> Any:
    client = rig.client()
    client.send("flaky", {"x": "secret-payload"}, id="r", **message)
    assert rig.work() == 1
    rig.clock.advance(1_000)
    assert rig.work() == 1
    assert client.kinds[-1] == "complete"
    return client


def of(documents: list[dict[str, Any]], **annotations: Any) -> list[dict[str, Any]]:
    """Give the documents that have these annotations."""
    wanted = annotations.items()
    return [one for one in documents if wanted <= one.get("annotations", {}).items()]


def named(documents: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [one for one in documents if one["name"] == name]


@pytest.mark.parametrize("metadata", [{}, GIVEN, W3C])
def test_one_trace_from_the_message_to_the_last_push(
    daemon: Any, on_lambda: bool, metadata: dict[str, str]
) -> None:
    rig = rig_of(daemon)
    client = run_flaky(rig, metadata=metadata)
    found = daemon.wait_for(10)
    (trace,) = {one["trace_id"] for one in found}
    (message,) = [o for o in of(found, action="flaky") if "attempt" not in o["annotations"]]
    assert message.get("parent_id") == (CALLER if metadata or on_lambda else None)
    stored = rig.stored(client.ref("r")).metadata
    assert stored["traceparent"] == f"00-{trace[2:].replace('-', '')}-{message['id']}-01"
    assert trace == ROOT if metadata or on_lambda else trace != ROOT
    (first,), (second,) = of(found, attempt=1), of(found, attempt=2)
    assert {first["parent_id"], second["parent_id"]} == {message["id"]}
    owns = {one["parent_id"] for one in named(found, "own")}
    assert owns == {first["id"], second["id"]}
    pushes = [(o["name"], o["parent_id"]) for o in found if o["name"].startswith("push")]
    assert pushes == [
        ("push chunk", first["id"]),
        ("push progress", first["id"]),
        ("push restart", message["id"]),
        ("push chunk", second["id"]),
        ("push complete", second["id"]),
    ]
    kinds = {one["name"]: one.get("type") for one in (message, first)}
    assert kinds == ({"flaky": "subsegment"} if on_lambda else {"streamer": None})


def test_they_are_annotated_and_hold_no_payload(daemon: Any, on_lambda: bool) -> None:
    run_flaky(rig_of(daemon))
    found = daemon.wait_for(10)
    (first,), (second,) = of(found, attempt=1), of(found, attempt=2)
    about = {"action": "flaky", "tenant": "acme"}
    assert first["annotations"] == {
        **about, "attempt": 1, "outcome": "failed", "error": "OSError",
    }  # fmt: skip
    assert second["annotations"] == {**about, "attempt": 2, "outcome": "completed"}
    assert (first.get("fault"), second.get("fault")) == (True, None)
    ours = [one for one in found if one["name"] != "own"]
    assert "secret" not in str(ours)


def test_a_worker_that_died_leaves_the_trace_whole(daemon: Any, on_lambda: bool) -> None:
    rig = rig_of(daemon)
    client = rig.client()
    client.send("flaky", {}, id="r", metadata=GIVEN)
    rig.claim(client.ref("r"))
    rig.clock.advance(60_000)
    elsewhere = rig_of(daemon, beside=rig)
    assert elsewhere.app.sweep().lapsed == 1
    elsewhere.clock.advance(60_000)
    assert elsewhere.work() == 1
    found = daemon.wait_for(6)
    assert {one["trace_id"] for one in found} == {ROOT}
    message, *_ = of(found, action="flaky")
    (attempt,) = of(found, attempt=2)
    swept, *_ = named(found, "push progress")
    assert {swept["parent_id"], attempt["parent_id"]} == {message["id"]}


def test_a_redrive_is_a_trace_of_its_own_that_names_the_old(daemon: Any) -> None:
    rig = rig_of(daemon)
    client = rig.client()
    client.send("gives-up", {}, id="r", metadata=GIVEN)
    rig.work()
    rig.app.redrive(client.ref("r"))
    rig.work()
    found = daemon.wait_for(5)
    (redrive,) = of(found, redriven_from=ROOT)
    assert redrive["trace_id"] != ROOT
    attempts = of(found, attempt=1)
    assert attempts[1]["parent_id"] == redrive["id"]
    assert attempts[1]["trace_id"] == redrive["trace_id"]


def test_a_sync_request_is_one_segment(daemon: Any, on_lambda: bool) -> None:
    rig_of(daemon).client().send("echo", {"fail": True}, metadata=GIVEN)
    own, root = daemon.wait_for(2)
    assert (own["name"], own["parent_id"]) == ("own", root["id"])
    assert root["parent_id"] == CALLER
    assert root["annotations"]["outcome"] == "rejected"
    assert (root.get("error"), root.get("fault")) == (True, None)


def test_an_idempotent_request_runs_under_its_message(daemon: Any, on_lambda: bool) -> None:
    rig = rig_of(daemon)
    rig.client().send("once", {}, id="r")
    attempt, message = daemon.wait_for(2)
    assert attempt["parent_id"] == message["id"]
    with xray_recorder.in_subsegment("after"):
        pass
    assert rig.client().send("once", {}, id="r")


def test_a_refusal_is_told(daemon: Any) -> None:
    rig_of(daemon).client().send("echo", {}, options={"priority": "high"})
    (message,) = daemon.wait_for(1)
    assert message["annotations"]["error"] == "FORBIDDEN"


def test_a_handler_that_hangs_is_told_when_it_is_given_up(daemon: Any, logs: Lines) -> None:
    go_on, running = threading.Event(), threading.Event()

    @handler("hangs", mode="async", timeout="1s", retry={"max_attempts": 1})
    def hangs() -> None:
        running.set()
        go_on.wait(20)

    rig = rig_of(daemon)
    for spec in declared(hangs):
        rig.app.registry.add(spec)
    rig.client().send("hangs", {})
    thread = threading.Thread(target=rig.work)
    thread.start()
    assert running.wait(20)
    rig.beat(2_000)
    found = daemon.wait_for(3)
    (attempt,) = of(found, attempt=1)
    assert attempt["annotations"]["outcome"] == "abandoned"
    go_on.set()
    thread.join(20)
    assert len(of(daemon.wait_for(3), attempt=1)) == 1


@pytest.mark.parametrize("section", [{"ratio": 0.0}, {}])
def test_what_is_not_sampled_is_not_sent_but_carried_on(daemon: Any, section: Any) -> None:
    rig = rig_of(daemon, **section)
    metadata = {} if section else {"X-Amzn-Trace-Id": f"Root={ROOT};Parent={CALLER};Sampled=0"}
    client = run_flaky(rig, metadata=metadata)
    assert rig.stored(client.ref("r")).metadata["xray.header"].endswith("Sampled=0")
    rig.client("bob").send("echo", {}, metadata=GIVEN)
    assert {one["trace_id"] for one in daemon.wait_for(2)} == {ROOT}


def test_on_lambda_the_client_decides_too(daemon: Any, on_lambda: bool) -> None:
    rig = rig_of(daemon)
    run_flaky(rig, metadata={"X-Amzn-Trace-Id": f"Root={ROOT};Sampled=0"})
    rig.client("bob").send("echo", {})
    own, root = daemon.wait_for(2)
    assert (own["name"], root["annotations"]["action"]) == ("own", "echo"), "and nothing else"


@pytest.mark.parametrize("bad", ["nonsense", "Root=1;Parent=2", "Root=;;=;=", ""])
def test_a_header_that_is_none_begins_a_trace(daemon: Any, bad: str) -> None:
    run_flaky(rig_of(daemon), metadata={"X-Amzn-Trace-Id": bad})
    found = daemon.wait_for(10)
    assert len({one["trace_id"] for one in found}) == 1
    assert bad not in {one["trace_id"] for one in found}


def test_nothing_stays_in_the_thread(daemon: Any, on_lambda: bool) -> None:
    rig = rig_of(daemon)
    before = xray_recorder.get_trace_entity()
    run_flaky(rig, metadata=GIVEN)
    after = xray_recorder.get_trace_entity()
    assert getattr(after, "id", None) == getattr(before, "id", None)


def test_the_log_lines_of_a_request_have_its_ids(daemon: Any, on_lambda: bool, logs: Lines) -> None:
    run_flaky(rig_of(daemon), metadata=GIVEN)
    attempts = [of(daemon.wait_for(10), attempt=number)[0]["id"] for number in (1, 2)]
    lines = [(one["event"], one["trace_id"], one["span_id"]) for one in logs]
    assert lines == [
        ("working", ROOT, attempts[0]),
        ("handler failed", ROOT, attempts[0]),
        ("working", ROOT, attempts[1]),
    ]
    assert [one["bound"]["span_id"] for one in logs if "bound" in one] == attempts
    assert get_contextvars() == {}


def test_what_is_left_out_has_no_ids(daemon: Any, on_lambda: bool, logs: Lines) -> None:
    run_flaky(rig_of(daemon), metadata={"X-Amzn-Trace-Id": f"Root={ROOT};Sampled=0"})
    assert logs
    assert not [one for one in logs if "trace_id" in one]


def test_every_store_keeps_the_trace(open_store: Callable[[Any], Any], daemon: Any) -> None:
    run_flaky(rig_of(daemon, open_store=open_store), metadata=GIVEN)
    found = daemon.wait_for(10)
    assert {one["trace_id"] for one in found} == {ROOT}
    (message,) = [one for one in found if one.get("parent_id") == CALLER]
    attempts = [of(found, attempt=number)[0] for number in (1, 2)]
    assert [one["parent_id"] for one in attempts] == [message["id"]] * 2


def test_where_nothing_is_started_it_keeps_out_of_the_way(daemon: Any, logs: Lines) -> None:
    """As in a command: `streamer requests redrive`."""
    rig = Rig(gives_up, echo)
    rig.plug(XRayPlugin(XRayPlugin.Settings(daemon=daemon.address), rig.app))
    client = rig.client()
    client.send("gives-up", {}, id="r")
    assert rig.work() == 1
    assert rig.app.redrive(client.ref("r")).redriven_from == client.ref("r")
    assert client.ask("echo", {"a": 1})["data"] == {"a": 1}
    assert [line for line in logs if "plugin" in line] == []
