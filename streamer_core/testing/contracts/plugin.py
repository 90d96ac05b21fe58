"""What can be checked of any plugin without making it."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from importlib import resources
from importlib.metadata import PackageMetadata, distribution, metadata
from typing import Any

import pytest
from pydantic import BaseModel

from streamer_core import hookspecs
from streamer_core.errors import ConfigurationError
from streamer_core.markers import PROJECT
from streamer_core.model.manifest import Manifest
from streamer_core.plugins import Found, discover
from streamer_core.settings import validate_section

PREFIX = "streamer-plugin-"
_REQUIRED_NAME = re.compile(r"[A-Za-z0-9._-]+")

Hooks = Mapping[str, Callable[..., Any]]


class PluginContract:
    """What every installed plugin must be. Subclass it as `Test…` and give `plugin_name`.

    ```python
    class TestMyPlugin(PluginContract):
        @pytest.fixture
        def plugin_name(self):
            return "x"                      # of the distribution streamer-plugin-x
    ```
    """

    @pytest.fixture
    def plugin_name(self) -> str:
        """Give the entry point's name; the implementer's."""
        raise NotImplementedError("the subclass gives the fixture plugin_name")

    @pytest.fixture
    def found(self, plugin_name: str) -> Found:
        """Give what the core finds under that name."""
        (found,) = discover([plugin_name])
        return found

    @pytest.fixture
    def plugin(self, found: Found) -> type[Any]:
        """Give the plugin's class."""
        return found.load()

    @pytest.fixture
    def hooks(self, plugin: type[Any]) -> Hooks:
        """Give the functions that carry the mark `hookimpl`, by name."""
        return hooks_of(plugin)

    @pytest.fixture
    def about(self, found: Found) -> PackageMetadata:
        """Give the distribution's metadata."""
        return metadata(found.distribution)

    def test_its_names_are_one(self, found: Found, plugin_name: str) -> None:
        """Distribution `streamer-plugin-x`, module `streamer_plugin_x`, entry point `x`."""
        assert found.distribution == f"{PREFIX}{plugin_name}"
        module = f"{PREFIX}{plugin_name}".replace("-", "_")
        assert found.value.partition(":")[0].split(".")[0] == module

    def test_its_entry_point_is_a_class(self, plugin: type[Any]) -> None:
        """It imports, and has a docstring that says what it brings."""
        assert inspect.getdoc(plugin), "a plugin's class says in a line what it brings"

    def test_it_is_made_with_settings_and_app(self, plugin: type[Any]) -> None:
        """Two positional arguments are enough."""
        inspect.signature(plugin).bind(None, None)

    def test_its_settings_refuse_what_they_do_not_know(self, plugin: type[Any]) -> None:
        """A misspelt setting must stop the start; in a model `extra="forbid"` does it."""
        kind = getattr(plugin, "Settings", None)
        if kind is None:
            return
        assert isinstance(kind, type)
        assert is_dataclass(kind) or issubclass(kind, BaseModel), "a dataclass or pydantic model"
        with pytest.raises(ConfigurationError, match="no_such_setting"):
            validate_section(kind, {"no_such_setting": 1}, "[plugins]")

    def test_its_manifest_is_one(self, plugin: type[Any], plugin_name: str) -> None:
        """A Manifest of the core, about other plugins."""
        manifest = getattr(plugin, "manifest", Manifest())
        assert isinstance(manifest, Manifest)
        others = (*manifest.requires, *manifest.before, *manifest.after, *manifest.conflicts)
        assert plugin_name not in others

    def test_it_implements_hooks_that_exist(self, hooks: Hooks) -> None:
        """At least one, each with arguments that its specification has."""
        assert hooks, "no method carries @hookimpl"
        for name, implementation in hooks.items():
            specification = getattr(hookspecs, name, None)
            assert specification is not None, f"there is no hook {name}"
            known = set(inspect.signature(specification).parameters)
            given = set(inspect.signature(implementation).parameters) - {"self"}
            assert given <= known, f"{name} has no arguments {given - known}"

    def test_its_hooks_are_plain_functions(self, hooks: Hooks) -> None:
        """None is `async def`, and those that wrap are generators."""
        for name, implementation in hooks.items():
            assert not inspect.iscoroutinefunction(implementation), f"{name} is async def"
            assert not inspect.isasyncgenfunction(implementation), f"{name} is async def"
            wraps = getattr(implementation, f"{PROJECT}_impl")["wrapper"]
            assert wraps == inspect.isgeneratorfunction(implementation), (
                f"{name}: wrapper and yield"
            )

    def test_its_hooks_have_no_defaults(self, hooks: Hooks) -> None:
        """Pluggy would pass the default instead of the argument."""
        for name, implementation in hooks.items():
            parameters = inspect.signature(implementation).parameters.values()
            with_default = [p.name for p in parameters if p.default is not p.empty]
            assert not with_default, f"{name} gives {with_default} a default"

    def test_its_readme_is_its_description(self, about: PackageMetadata, found: Found) -> None:
        """It says how to install it by its distribution's name."""
        text = about.json.get("description") or ""
        assert found.distribution in text, (
            "README.md says pip install …; pyproject names the README"
        )

    def test_it_depends_on_the_core_and_no_other_plugin(
        self, plugin: type[Any], found: Found
    ) -> None:
        """But for those that its manifest requires."""
        required = _required(found.distribution)
        assert "streamer-core" in required
        manifest: Manifest = getattr(plugin, "manifest", Manifest())
        allowed = {f"{PREFIX}{name}" for name in manifest.requires}
        assert {name for name in required if name.startswith(PREFIX)} <= allowed

    def test_it_is_typed(self, found: Found) -> None:
        """Its package has `py.typed`."""
        package = found.value.partition(":")[0].split(".")[0]
        assert (resources.files(package) / "py.typed").is_file()


def hooks_of(plugin: type[Any]) -> Hooks:
    """Give a plugin class's functions that carry the mark `hookimpl`, by name."""
    members = {name: inspect.getattr_static(plugin, name, None) for name in dir(plugin)}
    return {
        name: member
        for name, member in members.items()
        if getattr(member, f"{PROJECT}_impl", None) is not None and callable(member)
    }


def _required(name: str) -> set[str]:
    matches = [_REQUIRED_NAME.match(line) for line in distribution(name).requires or ()]
    return {match.group().lower().replace("_", "-") for match in matches if match}
