"""The README's example runs as it stands."""

import re
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from streamer_plugin_xray import XRayPlugin

from streamer_core.handlers import declared
from tests.unit.harness import Rig

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def test_the_example_is_traced(daemon: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_XRAY_DAEMON_ADDRESS", raising=False)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    module = ModuleType("example")
    exec(compile(code, "README.md", "exec"), vars(module))
    rig = Rig()
    plugin = XRayPlugin(XRayPlugin.Settings(daemon=daemon.address), rig.app)
    rig.plug(plugin)
    plugin.streamer_startup()
    for spec in declared(module):
        rig.app.registry.add(spec)
    rig.client().send("report", {})
    assert rig.work() == 1
    found = daemon.wait_for(5)
    names = [one["name"] for one in found]
    assert sorted(names) == ["push chunk", "push complete", "query", "streamer", "streamer"]
    (query,) = [one for one in found if one["name"] == "query"]
    (attempt,) = [one for one in found if one.get("annotations", {}).get("attempt")]
    assert query["parent_id"] == attempt["id"]


def test_every_setting_is_in_the_table() -> None:
    listed = set(re.findall(r"^\| `(\w+)` \| (?:none|`)", README.split("**Off**")[0], re.MULTILINE))
    assert listed == {one.name for one in fields(XRayPlugin.Settings)}
