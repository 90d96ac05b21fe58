"""When it is on, what it refuses, and that nothing is imported or patched for nothing."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from aws_xray_sdk.core.daemon_config import DaemonConfig
from streamer_plugin_xray.address import is_address
from streamer_plugin_xray.header import NONE, Header, header_in

from streamer_core import Settings, Streamer
from streamer_core.errors import ConfigurationError
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport

PROGRAM = """
import json, os, sys
from streamer_core import Settings, Streamer
from streamer_core.ports import SystemClock
from streamer_core.testing import MemoryStore, MemoryTransport

settings = Settings.of({"plugins": ["xray"]}, json.loads(os.environ["SECTIONS"]))
with Streamer.start(
    settings, store=MemoryStore(SystemClock()), transport=MemoryTransport(), load_handlers=False
) as app:
    told = len(app.hooks.implementations("streamer_around_message"))
    sdk = [name for name in sys.modules if name.startswith(("aws_xray_sdk", "wrapt"))]
    patched = [name for name in sdk if name.startswith("aws_xray_sdk.ext")]
print(json.dumps([told, bool(sdk), patched]))
"""


@pytest.mark.parametrize(
    ("section", "env", "on"),
    [
        (None, {}, False),
        ({"ratio": 0.5}, {"AWS_XRAY_DAEMON_ADDRESS": ""}, False),
        ({"daemon": "127.0.0.1:2000"}, {"AWS_XRAY_SDK_ENABLED": "false"}, False),
        ({"daemon": "127.0.0.1:2000"}, {}, True),
        (None, {"AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000"}, True),
    ],
)
def test_it_is_on_where_there_is_a_daemon(
    section: dict[str, Any] | None, env: dict[str, str], on: bool
) -> None:
    sections = {} if section is None else {"xray": section}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "SECTIONS": json.dumps(sections), **env},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [int(on), on, []]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"daemon": "nowhere"}, "try: 127.0.0.1:2000"),
        ({"daemon": "127.0.0.1:65536"}, "try: 127.0.0.1:2000"),
        ({"daemon": " "}, "daemon: must be an address"),
        ({"daemon": ":2000"}, "try: 127.0.0.1:2000"),
        *(
            ({"daemon": f"{host}:2000"}, "try: 127.0.0.1:2000")
            for host in ("a..b", "x" * 64, "127.0.0.256", "1.2.3.4.5")
        ),
        *(
            ({"daemon": "127.0.0.1:2000", "service": name}, "service: must have 1 to 200")
            for name in ("", " ", "a\0b", "<me>")
        ),
        ({"ratio": 2}, "ratio: must be from 0 to 1"),
        ({"deamon": "127.0.0.1:2000"}, "did you mean 'daemon'"),
    ],
)
def test_a_bad_setting_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, section: dict[str, Any], said: str
) -> None:
    monkeypatch.delenv("AWS_XRAY_DAEMON_ADDRESS", raising=False)
    clock = ManualClock()
    with pytest.raises(ConfigurationError, match=said):
        Streamer.start(
            Settings.of({"plugins": ["xray"]}, {"xray": section}),
            store=MemoryStore(clock),
            transport=MemoryTransport(),
            clock=clock,
            load_handlers=False,
        )


@pytest.mark.parametrize("address", ["nowhere", ":2000", "h:0", "tcp:h:1 tcp:h:2", "h:1 h:2"])
def test_an_environment_that_names_no_daemon_stops_the_start(address: str) -> None:
    """In a process of its own: the SDK reads the variable when it is imported."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "SECTIONS": "{}", "AWS_XRAY_DAEMON_ADDRESS": address},
        capture_output=True,
        text=True,
        check=False,
    )
    said = f"AWS_XRAY_DAEMON_ADDRESS, is {address!r}; try: 127.0.0.1:2000"
    assert said in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("address", ["h:1", "tcp:h:1 udp:h:65535", "udp:h:1 tcp:h:2"])
def test_what_the_sdk_takes_is_an_address(address: str) -> None:
    assert is_address(address)
    assert DaemonConfig(address).udp_ip == "h"


ROOT, PARENT = "1-5759e988-bd862e3fe1be46a994272793", "53995c3f42cd8ad8"
WHOLE = Header(root=ROOT, parent=PARENT, sampled=True)
HEX = ROOT[2:].replace("-", "")


@pytest.mark.parametrize(
    ("metadata", "header"),
    [
        ({"X-Amzn-Trace-Id": f"Root={ROOT};Parent={PARENT};Sampled=1"}, WHOLE),
        ({"X-Amzn-Trace-Id": f"Self=1-x; Root={ROOT} ;Lineage=a:0"}, Header(root=ROOT)),
        ({"X-Amzn-Trace-Id": f"Root={ROOT};Parent=x;Sampled=?"}, Header(root=ROOT)),
        ({"X-Amzn-Trace-Id": f"Root={ROOT}x;Parent={PARENT}"}, NONE),
        ({"xray.header": str(WHOLE), "X-Amzn-Trace-Id": "Root=1-0-0"}, WHOLE),
        ({"traceparent": f"00-{HEX}-{PARENT}-01"}, WHOLE),
        ({"traceparent": f"00-{HEX}-{PARENT}-00"}, Header(root=ROOT, parent=PARENT, sampled=False)),
        ({"traceparent": f"00-{'0' * 32}-{PARENT}-01"}, NONE),
        ({"traceparent": f"00-{HEX}-{'0' * 16}-01"}, NONE),
        ({}, NONE),
    ],
)
def test_what_a_header_says(metadata: dict[str, str], header: Header) -> None:
    assert header_in(metadata) == header
