"""PluginContract passes a healthy plugin and finds what is wrong with a sick one."""

import inspect
import re
import sys
from collections.abc import Callable
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest

from streamer_core.plugins import discover
from streamer_core.testing.contracts import PluginContract
from streamer_core.testing.contracts.plugin import hooks_of

CLASS = '''
from pydantic import BaseModel, ConfigDict
from streamer_core.markers import hookimpl
from streamer_core.model.manifest import Manifest

class Plugin:
    """Brings nothing."""
    class Settings(BaseModel):
        model_config = ConfigDict(extra="forbid")
    manifest = Manifest()
    def __init__(self, settings, app): ...
    @hookimpl
    def streamer_startup(self, app): ...
    @hookimpl(wrapper=True)
    def streamer_execute(self, call):
        return (yield)
'''
METADATA = """Metadata-Version: 2.4
Name: streamer-plugin-probe
Version: 0.1.0
Requires-Dist: streamer-core~=0.1
Description-Content-Type: text/markdown

# Probe

    pip install streamer-plugin-probe
"""
MODULE = "streamer_plugin_probe"

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    def write(code: str = CLASS, metadata: str = METADATA, *, typed: bool = True) -> None:
        (name,) = re.findall(r"^Name: (.+)$", metadata, re.MULTILINE)
        package = tmp_path / MODULE
        info = tmp_path / f"{name.replace('-', '_')}-0.1.0.dist-info"
        package.mkdir()
        info.mkdir()
        (package / "__init__.py").write_text(code)
        (info / "METADATA").write_text(metadata)
        (info / "entry_points.txt").write_text(f"[streamer.plugins]\nprobe = {MODULE}:Plugin\n")
        if typed:
            (package / "py.typed").touch()
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, MODULE, raising=False)

    return write


class TestHealthyPlugin(PluginContract):
    @pytest.fixture(autouse=True)
    def _installed(self, install: Install) -> None:
        install()

    @pytest.fixture
    def plugin_name(self) -> str:
        return "probe"


SICK: dict[str, dict[str, Any]] = {
    "test_its_names_are_one": {"metadata": METADATA.replace("plugin-probe", "plugin-x", 1)},
    "test_its_entry_point_is_a_class": {"code": CLASS.replace('"""Brings nothing."""', "")},
    "test_it_is_made_with_settings_and_app": {"code": CLASS.replace("settings, app", "app")},
    "test_its_settings_refuse_what_they_do_not_know": {"code": CLASS.replace("forbid", "ignore")},
    "test_its_manifest_is_one": {"code": CLASS.replace("= Manifest()", "= {}")},
    "test_it_implements_hooks_that_exist": {"code": CLASS.replace("self, call", "self, cal")},
    "test_its_hooks_are_plain_functions": {
        "code": CLASS.replace("def streamer_startup", "async def streamer_startup")
    },
    "test_its_hooks_have_no_defaults": {"code": CLASS.replace("self, app):", "self, app=None):")},
    "test_its_readme_is_its_description": {"metadata": METADATA.partition("\n\n")[0] + "\n"},
    "test_it_depends_on_the_core_and_no_other_plugin": {
        "metadata": METADATA.replace("streamer-core~=0.1", "streamer-plugin-jwt")
    },
    "test_it_is_typed": {"typed": False},
}


def test_every_rule_has_a_sick_plugin() -> None:
    assert set(SICK) == {name for name in vars(PluginContract) if name.startswith("test_")}


@pytest.mark.parametrize("rule", SICK)
def test_a_sick_plugin_is_found(rule: str, install: Install) -> None:
    install(**SICK[rule])
    (found,) = discover(["probe"])
    plugin = found.load()
    fixtures = {
        "plugin_name": "probe",
        "found": found,
        "plugin": plugin,
        "hooks": hooks_of(plugin),
        "about": metadata(found.distribution),
    }
    method = getattr(PluginContract(), rule)
    given = {name: fixtures[name] for name in inspect.signature(method).parameters}
    with pytest.raises((AssertionError, TypeError, pytest.fail.Exception)):
        method(**given)
