"""The README's example runs as it stands."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

from streamer_plugin_otel import OtelPlugin

from streamer_core.handlers import declared
from tests.unit.harness import Rig

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def test_the_example_is_traced(spans: Any) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    module = ModuleType("example")
    exec(compile(code, "README.md", "exec"), vars(module))
    rig = Rig(plugins=[])
    plugin = OtelPlugin(OtelPlugin.Settings(), rig.app)
    rig.plug(plugin)
    plugin.streamer_startup()
    for spec in declared(module):
        rig.app.registry.add(spec)
    rig.client().send("report", {})
    assert rig.work() == 1
    assert set(spans.tree) == {
        ("send report", "report"),
        ("report", None),
        ("query", "process report"),
        ("push chunk", "process report"),
        ("process report", "send report"),
        ("push complete", "process report"),
    }


def test_every_setting_is_in_the_table() -> None:
    from dataclasses import fields

    listed = set(re.findall(r"^\| `(\w+)` \| (?:none|`\")", README, re.MULTILINE))
    assert listed == {one.name for one in fields(OtelPlugin.Settings)}
