"""Plugins are found, checked, ordered and made; whatever is wrong with one stops the start.

They are really installed, for as long as a test takes: a module and a dist-info on `sys.path`.
"""

import importlib
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamer_core import Settings, Streamer
from streamer_core.errors import ConfigurationError
from streamer_core.model.manifest import Manifest
from streamer_core.plugins import Found, discover, ordered
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport

HEAD = """
from pydantic import BaseModel, ConfigDict
from streamer_core.errors import ConfigurationError
from streamer_core.markers import hookimpl
from streamer_core.model.manifest import Manifest
from streamer_core.model.principal import Principal
from streamer_core.testing import MemoryStore, MemoryTransport

class Plugin:
    def __init__(self, settings, app):
        self.settings = settings

    @hookimpl
    def streamer_authenticate(self, handshake):
        return Principal(user="u")
"""

Install = Callable[..., Found]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python looks for distributions in."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def install(site: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a plugin: its module's code after HEAD, its name, distribution and version."""

    def write(
        name: str,
        code: str = "",
        *,
        head: str = HEAD,
        distribution: str | None = None,
        version: str = "1.0",
        attribute: str = "Plugin",
    ) -> Found:
        distribution = distribution or f"streamer-plugin-{name}"
        module = distribution.replace("-", "_")
        (site / f"{module}.py").write_text(head + code)
        info = site / f"{module}-{version}.dist-info"
        info.mkdir()
        about = f"Metadata-Version: 2.4\nName: {distribution}\nVersion: {version}\n"
        (info / "METADATA").write_text(about)
        value = f"{module}:{attribute}"
        (info / "entry_points.txt").write_text(f"[streamer.plugins]\n{name} = {value}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)
        importlib.invalidate_caches()
        return Found(name=name, value=value, distribution=distribution, version=version)

    return write


def started(*plugins: str, **sections: Any) -> Streamer:
    """Make an application of these installed plugins, found by their entry points."""
    clock = ManualClock()
    return Streamer(
        Settings.of({"plugins": plugins}, sections),
        store=MemoryStore(clock),
        transport=MemoryTransport(),
        clock=clock,
    )


def refusal(*plugins: str, **sections: Any) -> str:
    """Start, which must be refused; give the sentence."""
    with pytest.raises(ConfigurationError) as refused:
        started(*plugins, **sections)
    return str(refused.value)


# -- finding


def test_installed_plugins_are_found_by_name(install: Install) -> None:
    zebra = install("zebra", version="1.2")
    ant = install("ant")
    found = [one for one in discover(None) if one.name in {"ant", "zebra"}]
    assert found == [ant, zebra]
    assert zebra.source == "streamer-plugin-zebra 1.2 (plugin 'zebra')"


def test_a_found_plugin_is_made_and_asked(install: Install) -> None:
    install("ant")
    app = started("ant")
    assert app.plugins == ["ant"]
    assert type(app.hooks.get_plugin("ant")).__module__ == "streamer_plugin_ant"


def test_the_setting_plugins_names_those_to_load(install: Install) -> None:
    install("ant")
    install("broken", "raise RuntimeError('imported though nobody wants it')\n")
    assert started("ant").plugins == ["ant"]


def test_a_wanted_plugin_that_is_not_installed_is_named(install: Install) -> None:
    install("ant")
    assert refusal("ant", "bee") == (
        "[streamer] plugins names 'bee', which is not installed; "
        "try: pip install streamer-plugin-bee"
    )


def test_two_distributions_of_one_name_are_refused(install: Install) -> None:
    install("ant")
    install("ant", distribution="my-ants", version="3.0")
    said = refusal("ant")
    assert "two plugins are named 'ant'" in said
    assert "streamer-plugin-ant 1.0" in said
    assert "my-ants 3.0" in said
    assert said.endswith("uninstall one")


def test_one_distribution_seen_twice_is_no_clash(install: Install, tmp_path: Path) -> None:
    found = install("ant")
    other = tmp_path / "again" / "streamer_plugin_ant-1.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.4\nName: x\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text(f"[streamer.plugins]\nant = {found.value}\n")
    sys.path.append(str(other.parent))
    try:
        assert [one.name for one in discover(["ant"])] == ["ant"]
    finally:
        sys.path.remove(str(other.parent))


# -- being imported


def test_an_import_error_names_distribution_and_cause(install: Install) -> None:
    install("ant", "import no_such_module_at_all\n", version="2.5")
    said = refusal("ant")
    assert said.startswith("streamer-plugin-ant 2.5 (plugin 'ant') cannot be imported")
    assert "ModuleNotFoundError: No module named 'no_such_module_at_all'" in said
    assert "leave it out of [streamer] plugins" in said


def test_a_missing_attribute_is_an_import_error(install: Install) -> None:
    install("ant", attribute="NoSuchPlugin")
    assert "AttributeError" in refusal("ant")


def test_what_is_no_class_is_refused(install: Install) -> None:
    install("ant", "plugin = Plugin(None, None)\n", attribute="plugin")
    assert refusal("ant").endswith("streamer_plugin_ant:plugin is not a class")


def test_a_constructor_that_fails_names_the_distribution(install: Install) -> None:
    install(
        "ant", "    def close(self): ...\nPlugin.__init__ = lambda self, settings, app: 1 / 0\n"
    )
    assert refusal("ant") == (
        "streamer-plugin-ant 1.0 (plugin 'ant') cannot be made: ZeroDivisionError: division by zero"
    )


def test_a_constructor_may_say_what_is_wrong(install: Install) -> None:
    install(
        "ant",
        "def no(self, settings, app):\n"
        "    raise ConfigurationError('needs a key file')\n"
        "Plugin.__init__ = no\n",
    )
    assert refusal("ant") == "streamer-plugin-ant 1.0 (plugin 'ant'): needs a key file"


def test_a_module_that_exits_is_an_import_error(install: Install) -> None:
    install("ant", "raise SystemExit(3)\n")
    assert "cannot be imported: SystemExit: 3 (streamer_plugin_ant.py, line " in refusal("ant")


# -- order


def test_order_is_by_manifest_then_name_whatever_was_found_first(install: Install) -> None:
    found = [
        install("ant", "Plugin.manifest = Manifest(after=('zebra', 'not-installed'))\n"),
        install("bee", "Plugin.manifest = Manifest(requires=('cat',))\n"),
        install("cat"),
        install("zebra", "Plugin.manifest = Manifest(before=('cat', 'not-installed'))\n"),
    ]
    clock = ManualClock()
    for permutation in itertools.permutations(found):
        app = Streamer(
            Settings.of(),
            store=MemoryStore(clock),
            transport=MemoryTransport(),
            clock=clock,
            found=permutation,
        )
        assert app.plugins == ["zebra", "ant", "cat", "bee"]
        implementations = app.hooks.hook.streamer_authenticate.get_hookimpls()
        assert [one.plugin_name for one in reversed(implementations)] == app.plugins


def test_plugins_without_wishes_are_in_order_of_name() -> None:
    assert ordered({"c": Manifest(), "a": Manifest(), "b": Manifest()}) == ["a", "b", "c"]


def test_a_circle_is_named(install: Install) -> None:
    install("ant", "Plugin.manifest = Manifest(before=('bee',))\n")
    install("bee", "Plugin.manifest = Manifest(before=('ant',))\n")
    said = refusal("ant", "bee")
    assert "the plugins' manifests ask for an impossible order" in said
    assert "ant -> bee -> ant" in said or "bee -> ant -> bee" in said


def test_what_is_required_must_be_loaded(install: Install) -> None:
    install("ant", "Plugin.manifest = Manifest(requires=('bee',))\n")
    assert refusal("ant") == (
        "plugin 'ant' requires 'bee', which is not loaded; try: pip install streamer-plugin-bee"
    )


def test_plugins_that_conflict_are_refused_together(install: Install) -> None:
    install("ant", "Plugin.manifest = Manifest(conflicts=('bee',))\n")
    install("bee")
    assert started("ant").plugins == ["ant"]
    assert refusal("ant", "bee").startswith("plugins 'ant' and 'bee' conflict; uninstall one")


def test_a_manifest_of_another_type_is_refused(install: Install) -> None:
    install("ant", "Plugin.manifest = {'requires': ['bee']}\n")
    assert "Plugin.manifest must be a" in refusal("ant")


def test_one_name_is_not_a_list_of_names(install: Install) -> None:
    install("ant", "Plugin.manifest = Manifest(requires='bee')\n")
    assert refusal("ant") == (
        "plugin 'ant': requires of its manifest names plugins: write requires=('x',)"
    )


# -- hook implementations


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            "    @hookimpl\n    def streamer_on_conect(self, connection): ...\n",
            "unknown hook 'streamer_on_conect'; did you mean 'streamer_on_connect'?",
        ),
        (
            "    def streamer_on_connect(self, connection): ...\n",
            "streamer_on_connect would never be called: write `@hookimpl` above it",
        ),
        (
            "    @hookimpl\n    async def streamer_on_connect(self, connection): ...\n",
            "hooks are plain functions: write `def streamer_on_connect`",
        ),
        (
            "    @hookimpl\n    async def streamer_health(self):\n        yield\n",
            "hooks are plain functions: write `def streamer_health`",
        ),
        (
            "    @hookimpl\n    def streamer_on_connect(self, connection=None): ...\n",
            "streamer_on_connect gives 'connection' a default",
        ),
        (
            "    @hookimpl\n    def streamer_on_connect(self, conection): ...\n",
            "wants 'conection', which the hook does not give; it gives connection",
        ),
        (
            "    @hookimpl\n    def streamer_on_connect(self, *arguments): ...\n",
            "has *arguments, which pluggy leaves empty: name the arguments, of connection",
        ),
        (
            "    @hookimpl\n    def streamer_on_connect(self, *, connection): ...\n",
            "'connection' is keyword-only; take the `*` before it out",
        ),
        (
            "    @hookimpl\n    def streamer_execute(self, call):\n        yield\n",
            "has a `yield`; write `@hookimpl(wrapper=True)` above it",
        ),
        (
            "    @hookimpl(wrapper=True)\n    def streamer_execute(self, call): ...\n",
            "is a wrapper and has no `yield`",
        ),
        (
            "    @hookimpl\n    def streamer_around_call(self):\n        yield\n",
            "has a `yield`; write `@contextmanager` under `@hookimpl`",
        ),
        (
            "    @hookimpl(wrapper=True)\n    def streamer_around_call(self):\n        yield\n",
            "cannot be surrounded",
        ),
    ],
    ids=[
        "misspelt",
        "unmarked",
        "async",
        "async generator",
        "default",
        "argument",
        "variable arguments",
        "keyword-only",
        "wrapper by mistake",
        "wrapper without yield",
        "generator that is no context manager",
        "wrapper around context managers",
    ],
)
def test_a_wrong_implementation_is_refused(code: str, sentence: str, install: Install) -> None:
    install("ant", code)
    assert sentence in refusal("ant")


def test_a_hook_of_a_newer_core_may_be_marked_so(install: Install) -> None:
    install("ant", "    @hookimpl(optionalhook=True)\n    def streamer_on_moon(self): ...\n")
    assert started("ant").plugins == ["ant"]


# -- settings

SETTINGS = """
class Section(BaseModel):
    model_config = ConfigDict(extra="forbid")
    issuer: str = ""
    leeway_s: int = 0

Plugin.Settings = Section
"""


def test_a_section_is_checked_and_handed_over(install: Install) -> None:
    install("ant", SETTINGS)
    plugin: Any = started("ant", ant={"leeway_s": "7"}).hooks.get_plugin("ant")
    assert plugin.settings.leeway_s == 7


def test_a_misspelt_setting_is_refused_with_what_is_meant(install: Install) -> None:
    install("ant", SETTINGS)
    assert refusal("ant", ant={"isuer": "x"}) == (
        "settings: [plugins.ant] isuer: there is no such setting; did you mean 'issuer'?"
    )


def test_a_setting_that_resembles_none_is_refused_with_all(install: Install) -> None:
    install("ant", SETTINGS)
    assert refusal("ant", ant={"qqq": 1}).endswith("known: issuer, leeway_s")


def test_a_wrong_value_is_named_and_not_shown(install: Install) -> None:
    install("ant", SETTINGS)
    said = refusal("ant", ant={"leeway_s": "hunter2"})
    assert said.startswith("settings: [plugins.ant] leeway_s: ")
    assert "hunter2" not in said


def test_a_section_for_a_plugin_without_settings_is_refused(install: Install) -> None:
    install("ant")
    assert refusal("ant", ant={"x": 1}) == (
        "[plugins.ant]: streamer-plugin-ant 1.0 (plugin 'ant') takes no settings"
    )


def test_a_section_for_a_plugin_that_is_left_out_is_refused(install: Install) -> None:
    install("ant")
    install("bee", SETTINGS)
    assert refusal("ant", bee={"x": 1}) == (
        "[plugins.bee]: the plugin is not loaded; "
        "add 'bee' to [streamer] plugins, or take the section out"
    )


def test_a_section_for_a_plugin_that_is_not_installed_is_refused() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Streamer(Settings.of({}, {"nosuch": {"x": 1}}))
    assert str(refused.value) == (
        "[plugins.nosuch]: the plugin is not loaded; "
        "try: pip install streamer-plugin-nosuch, or take the section out"
    )


def test_the_environment_sets_a_plugins_setting(install: Install, tmp_path: Path) -> None:
    install("ant", SETTINGS)
    (tmp_path / "streamer.toml").write_text('[streamer]\nplugins = ["ant"]\n')
    environ = {"STREAMER_PLUGINS__ANT__LEEWAY_S": "9"}
    settings = Settings.load(tmp_path, environ=environ)
    app = Streamer(settings, store=MemoryStore(ManualClock()), transport=MemoryTransport())
    plugin: Any = app.hooks.get_plugin("ant")
    assert plugin.settings.leeway_s == 9


def test_settings_of_another_type_are_refused(install: Install) -> None:
    install("ant", "Plugin.Settings = dict\n")
    assert refusal("ant").endswith("Settings is no dataclass and no pydantic model")


# -- providers

STORE = """
    @hookimpl
    def streamer_open_store(self, name, clock):
        return MemoryStore(clock) if name == "scratch" else None
"""


def test_a_provider_answers_to_its_own_name(install: Install) -> None:
    install("ant", STORE)
    transport = MemoryTransport()
    app = Streamer(Settings.of({"plugins": ["ant"], "store": "scratch"}), transport=transport)
    assert isinstance(app.store, MemoryStore)


def test_a_name_that_nobody_opens_is_refused(install: Install) -> None:
    install("ant", STORE)
    with pytest.raises(ConfigurationError) as refused:
        Streamer(Settings.of({"plugins": ["ant"], "store": "s3"}), transport=MemoryTransport())
    assert str(refused.value) == (
        "[streamer] store = 's3': no loaded plugin opens it; try: pip install streamer-plugin-s3"
    )


def test_two_providers_of_one_name_are_refused(install: Install) -> None:
    install("ant", STORE)
    install("bee", STORE)
    settings = Settings.of({"plugins": ["ant", "bee"], "store": "scratch"})
    with pytest.raises(ConfigurationError) as refused:
        Streamer(settings, transport=MemoryTransport())
    assert str(refused.value) == (
        "plugins 'ant' and 'bee' both open the store 'scratch'; uninstall one"
    )


@pytest.mark.parametrize(
    ("opens", "says"),
    [
        ("raise OSError('disk on fire')", "OSError: disk on fire (streamer_plugin_ant.py, line "),
        ("raise ConfigurationError('needs a path')", "streamer_open_store: needs a path"),
        ("return 'scratch'", "opens the store 'scratch' as str; it must be a streamer_core.ports"),
    ],
)
def test_a_provider_that_fails_is_named(opens: str, says: str, install: Install) -> None:
    install("ant", f"    @hookimpl\n    def streamer_open_store(self, name): {opens}\n")
    settings = Settings.of({"plugins": ["ant"], "store": "scratch"})
    with pytest.raises(ConfigurationError) as refused:
        Streamer(settings, transport=MemoryTransport())
    assert str(refused.value).startswith("plugin 'ant'")
    assert says in str(refused.value)


@pytest.mark.parametrize("brings", ["3", "'my.handlers'", "[3]", "[print]"])
def test_what_declares_no_handler_is_refused(brings: str, install: Install) -> None:
    install("ant", f"    @hookimpl\n    def streamer_register_handlers(self): return {brings}\n")
    assert refusal("ant").startswith("plugin 'ant': streamer_register_handlers gives ")


def test_a_start_without_an_authenticator_is_refused(install: Install) -> None:
    install(
        "ant", head=HEAD.replace("streamer_authenticate(self, handshake)", "streamer_health(self)")
    )
    assert refusal("ant").startswith("no plugin authenticates clients; try: pip install")


def test_a_process_without_handlers_needs_no_authenticator(install: Install) -> None:
    install(
        "ant", head=HEAD.replace("streamer_authenticate(self, handshake)", "streamer_health(self)")
    )
    clock = ManualClock()
    app = Streamer(
        Settings.of({"plugins": ["ant"]}),
        store=MemoryStore(clock),
        transport=MemoryTransport(),
        load_handlers=False,
    )
    assert len(app.registry) == 0
