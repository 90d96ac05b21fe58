"""The README's example runs as it stands, and its table has every setting."""

import json
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from streamer_plugin_circuitbreaker.settings import Rules

from streamer_core import Principal, Settings, Streamer
from streamer_core.model.connection import Connection
from streamer_core.sections import validate_section
from streamer_core.testing import ManualClock, MemoryTransport

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SETTING = re.compile(r"^\| `(\w+)` \| (.*?) \| ", re.MULTILINE)


def test_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in FILE.findall(README):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.delitem(sys.modules, "app_handlers", raising=False)
    settings = Settings.load(tmp_path)
    clock = ManualClock()
    with Streamer.start(settings, clock=clock, transport=MemoryTransport()) as app:
        now = clock.now()
        ada = Principal(user="ada")
        connection = Connection(id="c-1", principal=ada, connected_at=now, expires_at=now + 90_000)
        plugin: Any = app.hooks.get_plugin("circuitbreaker")
        assert plugin.circuits.of_action("report.month").name == "action:report.month"
        assert plugin.circuits.of_action("book") is None

        def ask() -> Any:
            return json.loads(app.receive(connection, b'{"action": "book"}').frames[0])

        codes = [ask()["error"]["code"] for _ in range(6)]
        assert codes == ["PROCESSING_FAILED"] * 5 + ["CIRCUIT_OPEN"]
        assert 60_000 <= ask()["error"]["retry"]["after_ms"] <= 66_000
        (tmp_path / "ledger").write_text("17")
        clock.advance(60_000)
        assert [ask()["data"]["booked"] for _ in range(9)] == ["17"] * 9


def test_every_setting_is_listed_with_its_default() -> None:
    shown = dict(SETTING.findall(README))
    assert [one.name for one in fields(Rules)] == list(shown)
    given = {name: json.loads(text.strip("`")) for name, text in shown.items() if text != "none"}
    assert validate_section(Rules, given, "README") == Rules()
