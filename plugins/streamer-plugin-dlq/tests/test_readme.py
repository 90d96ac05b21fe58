"""What the README shows runs as it stands, and its table has all settings."""

import re
import sys
import types
from dataclasses import fields
from pathlib import Path

import pytest
from streamer_plugin_dlq.settings import DlqSettings

from streamer_core.model.request import KEPT_FAILURES, KEPT_TRACES

TEXT = Path(__file__).parents[1].joinpath("README.md").read_text("utf-8")


def test_the_example_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    module = types.ModuleType("readme_of_dlq")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, "README.md", "exec"), vars(module))


def test_how_many_attempts_are_kept_is_told() -> None:
    assert f"errors of the last {KEPT_FAILURES} attempts, stacks of the last {KEPT_TRACES}" in TEXT


def test_every_setting_is_listed() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    assert listed == [one.name for one in fields(DlqSettings)]


def test_every_log_line_is_listed() -> None:
    source = Path(__file__).parents[1] / "src"
    said = "".join(path.read_text("utf-8") for path in source.rglob("*.py"))
    logged = re.findall(r'\.(?:error|exception|warning)\(\s*"([^"]+)"', said)
    rows = TEXT.partition("| log line |")[2]
    assert set(logged) == set(re.findall(r"`([^`]+)`", rows))
