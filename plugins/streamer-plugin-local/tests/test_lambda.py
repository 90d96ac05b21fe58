"""`streamer dev --lambda`: API Gateway's events, raised on the Lambda entries."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamer_plugin_local.lambda_worker import connecting, disconnecting, entries_of, message
from streamer_plugin_local.testing import RunningGateway, Talk, running_gateway
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from streamer_core.errors import ConfigurationError
from streamer_core.markers import hookimpl
from tests.samples import aws_events
from tests.unit.harness import Rig

Project = Callable[..., Path]


@pytest.fixture
def served(project: Project) -> Iterator[RunningGateway]:
    folder = project(as_lambda=True, sync_workers=1, async_workers=1)
    with running_gateway(folder) as running:
        yield running


def of_type(kind: str) -> Callable[[dict[str, Any]], bool]:
    return lambda message: message["type"] == kind


def test_the_journeys_are_the_same(served: RunningGateway) -> None:
    with Talk(served.url) as talk, Talk(served.url) as other:
        assert talk.ask("echo", {"text": "ä🦆"})["data"] == {"text": "ä🦆"}
        assert talk.ask("streamer.hello", {"version": 1})["connection_id"]
        assert talk.ask("streamer.health")["data"]["checks"][0]["name"] == "store"
        assert talk.ask("streamer.subscribe", {"topic": "room:1"})["success"]
        other.ask("publish", {"topic": "room:1", "data": "hi"})
        assert talk.until(of_type("event"))["data"] == "hi"
        talk.send("wait", {"s": 0.05}, id="r-1")
        assert talk.until(of_type("acknowledgment"))["request_id"] == "r-1"
        assert "pid" in talk.until(of_type("complete"))["result"]


def test_bytes_that_are_no_text_cost_no_worker(served: RunningGateway) -> None:
    with Talk(served.url) as talk:
        talk.ws.send(b'{"action": "echo", "payload": {"text": "\xff"}}', text=True)
        assert talk.get()["error"]["code"] == "INVALID_MESSAGE"
    assert "exit code" not in served.log()


def test_who_is_refused_gets_the_entrys_answer(project: Project) -> None:
    loaded = ["apigateway", "local", "sqlite", "strict"]
    folder = project(as_lambda=True, sync_workers=1, core={"plugins": loaded})
    (folder / "strict.py").write_text(
        "from streamer_core.errors import RateLimited\n"
        "from streamer_core.markers import hookimpl\n"
        "class StrictPlugin:\n"
        "    def __init__(self, settings, app): ...\n"
        "    @hookimpl\n"
        "    def streamer_limit(self, principal, connection, request):\n"
        "        raise RateLimited('Slowly', retry_after_ms=1_500)\n"
    )
    info = folder / "strict-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strict\nVersion: 1\n")
    entry = "[streamer.plugins]\nstrict = strict:StrictPlugin\n"
    (info / "entry_points.txt").write_text(entry)
    with (
        running_gateway(folder) as running,
        pytest.raises(InvalidStatus) as refused,
        connect(running.url),
    ):
        pass
    response = refused.value.response
    assert (response.status_code, response.headers["Retry-After"]) == (429, "2")


def shape_of(value: Any) -> Any:
    """Give the names and types there are."""
    if isinstance(value, dict):
        return {name: shape_of(one) for name, one in value.items()}
    return type(value)


def test_events_have_the_shape_of_aws() -> None:
    asked = {
        "connection_id": "c",
        "headers": {"authorization": "Bearer x", "host": "localhost"},
        "query": {"a": "1"},
        "address": "127.0.0.1",
    }
    headers = {"Authorization": ["Bearer x"], "Host": ["localhost"]}
    for ours, documented in (
        (connecting(asked, "dev"), aws_events.connecting(headers, {"a": "1"})),
        (message("c", "{}", "dev"), aws_events.message("{}")),
        (disconnecting("c", "bye", "dev"), aws_events.disconnecting()),
    ):
        assert shape_of(ours) == shape_of(documented)
    assert "queryStringParameters" not in connecting({**asked, "query": {}}, "dev")


class _Bringer:
    @hookimpl
    def streamer_lambda_entries(self, app: Any) -> Any:
        return {}


@pytest.mark.parametrize(("bringers", "whose"), [(0, "no plugin"), (2, "'_Bringer-")])
def test_one_plugin_brings_the_entries(bringers: int, whose: str) -> None:
    rig = Rig(plugins=[_Bringer() for _ in range(bringers)])
    with pytest.raises(ConfigurationError, match=whose):
        entries_of(rig.app)
