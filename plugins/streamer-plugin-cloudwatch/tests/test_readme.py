"""What the README shows is what happens."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from streamer_plugin_cloudwatch.settings import CloudWatchSettings
from streamer_plugin_cloudwatch.template import template

from streamer_core import Settings, Streamer, handler
from streamer_core.handlers import declared
from streamer_core.model.connection import Handshake
from streamer_core.ports import SystemClock
from streamer_core.sections import validate_section
from streamer_core.testing import MemoryStore, MemoryTransport
from tests.unit.harness import Tokens

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


@handler("echo")
def echo(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


def test_the_example_makes_the_line_that_is_shown(tmp_path: Path) -> None:
    (toml,) = re.findall(r"^```toml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    (shown,) = re.findall(r"^```json\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    (tmp_path / "streamer.toml").write_text(toml)
    core = Settings.of({"plugins": ["cloudwatch"]}).core  # without the handlers' module
    settings, clock = replace(Settings.load(tmp_path), core=core), SystemClock()
    with Streamer.start(
        settings,
        store=MemoryStore(clock),
        transport=MemoryTransport(),
        clock=clock,
        load_handlers=False,
    ) as app:
        app.hooks.register(Tokens())
        app.registry.add(declared(echo)[0])
        connection = app.connect(Handshake(connection_id="c-1", token="acme/ann/"))
        app.receive(connection, b'{"action": "echo"}')
    lines = [json.loads(one) for one in (tmp_path / "metrics.log").read_text().splitlines()]
    (line,) = [one for one in lines if "request.answered" in one]
    assert _shape(line) == _shape(json.loads(shown))


def _shape(line: dict[str, Any]) -> Any:
    """Give a line without what is another each time: its time, and how long it took."""
    line["_aws"]["Timestamp"] = 0
    assert len(line["request.answered"]) == 1
    line["request.answered"] = []
    return line


def _rows(head: str) -> list[list[str]]:
    table = README.split(f"| {head} |", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[2:]]


def test_every_setting_is_listed_with_its_default() -> None:
    rows = _rows("setting")
    assert [row[0].strip("`") for row in rows] == [one.name for one in fields(CloudWatchSettings)]
    shown = {row[0].strip("`"): json.loads(row[1].strip("`")) for row in rows[1:]}
    section = dict(shown, dimensions=tuple(shown["dimensions"]))
    made = validate_section(CloudWatchSettings, section, "README")
    assert made == CloudWatchSettings()


def test_every_alarm_is_listed() -> None:
    alarms = [
        one["Properties"]["AlarmName"]["Fn::Sub"].removeprefix("${Prefix}")
        for one in template("x")["Resources"].values()
        if one["Type"] == "AWS::CloudWatch::Alarm"
    ]
    assert [row[0].strip("`") for row in _rows("alarm")] == alarms
