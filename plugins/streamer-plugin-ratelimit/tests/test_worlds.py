"""Through real sockets: the gateway's workers, and the Lambda entries."""

from pathlib import Path
from typing import Any

import pytest
from streamer_plugin_local.testing import Talk, running_gateway, write_project
from websockets.exceptions import ConnectionClosed, InvalidStatus

HANDLERS = """
from streamer_core import handler

@handler("echo")
def echo(payload: dict) -> dict:
    return payload

@handler("later", mode="async")
def later(payload: dict) -> dict:
    return payload
"""
SECTION = """
[plugins.ratelimit]
close_after = 3

[[plugins.ratelimit.limits]]
name = "messages"
rate = "5/h"

[[plugins.ratelimit.limits]]
name = "connects"
rate = "3/h"
of = "connect"
by = ["address"]
"""


def test_limits_hold_in_every_world(tmp_path: Path, world: dict[str, Any]) -> None:
    core = {"plugins": ["local", "sqlite", "apigateway", "ratelimit"]}
    folder = write_project(tmp_path, HANDLERS, core=core, **world)
    with (folder / "streamer.toml").open("a") as settings:
        settings.write(SECTION)
    with running_gateway(folder) as running:
        with Talk(running.url) as one, Talk(running.url) as other:
            for talk in (one, other, one):
                assert talk.ask("echo", {"n": 1})["data"] == {"n": 1}
            assert other.until_acknowledged("later")
            assert other.until(lambda message: message["type"] == "complete")
            assert one.ask("streamer.actions")["success"], "the fifth"
            one.ws.send("{")
            unreadable = one.get()["error"]
            for refusal in (unreadable, one.ask("later", id="r-1")["error"]):
                assert (refusal["code"], refusal["retry"]["retryable"]) == ("RATE_LIMITED", True)
                assert 0 < refusal["retry"]["after_ms"] <= 720_001
            assert one.ask("echo")["error"]["code"] == "RATE_LIMITED"
            assert one.get()["type"] == "goodbye"
            with pytest.raises(ConnectionClosed) as closed:
                one.get()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
                1008,
                "too many refused messages",
            )
            assert other.ask("streamer.ping")["type"] == "pong"
        with Talk(running.url), pytest.raises(InvalidStatus) as refused, Talk(running.url):
            pass
    assert refused.value.response.status_code == 429
    assert 1100 <= int(refused.value.response.headers["Retry-After"]) <= 1201
