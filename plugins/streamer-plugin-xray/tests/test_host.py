"""A daemon whose host has a name: who looks it up, and when."""

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from streamer_plugin_local.testing import eventually
from streamer_plugin_xray import XRayPlugin
from streamer_plugin_xray.host import Host

from streamer_core import handler
from streamer_core.testing import ManualClock
from tests.conftest import Lines
from tests.unit.harness import Rig

SAID = "the X-Ray daemon's host is not found"


@handler("echo")
def echo() -> int:
    return 1


class Names:
    """What a name server says: the number of every name, or nothing."""

    def __init__(self) -> None:
        self.number: str | None = "127.0.0.1"
        self.asked: list[str] = []
        self.goes_on = threading.Event()
        self.goes_on.set()

    def look_up(self, name: str) -> str:
        self.goes_on.wait(20)
        self.asked.append(name)
        if self.number is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self.number


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names()
    monkeypatch.setattr(socket, "gethostbyname", names.look_up)
    monkeypatch.delenv("AWS_XRAY_DAEMON_ADDRESS", raising=False)
    return names


def started(daemon: Any) -> Rig:
    rig = Rig(echo)
    port = daemon.address.partition(":")[2]
    plugin = XRayPlugin(XRayPlugin.Settings(daemon=f"xray.internal:{port}"), rig.app)
    rig.plug(plugin)
    plugin.streamer_startup()
    return rig


def health_of(rig: Rig) -> tuple[str, str]:
    found = next(one for one in rig.app.health() if one.name == "xray")
    return found.status, found.detail


def test_it_is_looked_up_once_for_many_segments(daemon: Any, names: Names) -> None:
    client = started(daemon).client()
    for _ in range(20):
        client.send("echo", {})
    assert len(daemon.wait_for(20)) == 20
    assert names.asked == ["xray.internal"]


def test_one_that_is_not_found_is_told_and_keeps_nobody_from_starting(
    daemon: Any, names: Names, logs: Lines
) -> None:
    names.number = None
    rig = started(daemon)
    assert [(one["event"], one["host"], one["level"]) for one in logs] == [
        (SAID, "xray.internal", "warning")
    ]
    assert health_of(rig) == ("degraded", "the daemon's host is not found")
    client = rig.client()
    client.send("echo", {})
    rig.clock.advance(59_000)
    client.send("echo", {})
    assert names.asked == ["xray.internal"], "nobody asks for each segment"
    names.number = "127.0.0.1"
    rig.clock.advance(1_000)
    client.send("echo", {})
    eventually(lambda: len(names.asked) == 2)
    eventually(lambda: client.ask("echo", {}) and daemon.documents)
    assert len(names.asked) == 2
    assert health_of(rig) == ("ok", "segments are sent")


def test_a_name_server_that_is_silent_delays_no_message(daemon: Any, names: Names) -> None:
    rig = started(daemon)
    client = rig.client()
    names.goes_on.clear()
    rig.clock.advance(60_000)
    assert client.ask("echo", {})["data"] == 1
    assert daemon.wait_for(1), "sent to where it was before"
    names.goes_on.set()
    eventually(lambda: len(names.asked) == 2)


@pytest.fixture
def host(names: Names) -> Callable[[str], Host]:
    return lambda name: Host(name, ManualClock().monotonic)


def test_a_start_waits_only_so_long(host: Callable[[str], Host], names: Names) -> None:
    names.goes_on.clear()
    silent = host("xray.internal")
    assert silent.number(wait_s=0.01) is None
    names.goes_on.set()
    eventually(silent.number)
    assert silent.number() == "127.0.0.1"


def test_a_number_is_not_looked_up(host: Callable[[str], Host], names: Names) -> None:
    assert host("10.0.0.1").number() == "10.0.0.1"
    assert names.asked == []
