"""The README's example runs as it stands, and its table is all there is."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from streamer_plugin_tenancy import TenancyPlugin
from streamer_plugin_tenancy.settings import TablesSettings

from tests.conftest import Lines

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def test_the_example_runs(capsys: pytest.CaptureFixture[str], logs: Lines) -> None:
    (code,) = re.findall(r"(?<!-->\n)^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out == "There is no such thing in this tenant\n"
    assert [line["event"] for line in logs] == ["another tenant's key was refused"]


def test_every_setting_is_in_the_table() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (.*?) \|", README, re.MULTILINE)
    listed = [name for cell, _ in rows for name in re.findall(r"`(\w+)`", cell)]
    settings = [one.name for one in fields(TenancyPlugin.Settings)]
    assert listed[: len(settings)] == settings
    assert {one.name for one in fields(TablesSettings)} <= set(listed)
