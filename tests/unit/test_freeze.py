"""A start from a frozen file looks nothing up, and refuses what has changed since."""

import importlib
import importlib.metadata
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from streamer_core import Settings, Streamer
from streamer_core.errors import ConfigurationError

PLUGIN = """
from streamer_core.markers import hookimpl
from streamer_core.model.principal import Principal
from streamer_core.testing import MemoryStore, MemoryTransport

class FrostPlugin:
    def __init__(self, settings, app): ...

    @hookimpl
    def streamer_authenticate(self, handshake):
        return Principal(user="u")

    @hookimpl
    def streamer_open_store(self, name, clock):
        return MemoryStore(clock)

    @hookimpl
    def streamer_open_transport(self, name):
        return MemoryTransport()
"""
HANDLERS = """
from streamer_core import handler

@handler("{action}")
def work(payload: dict) -> dict:
    return payload
"""
TOML = '[streamer]\nplugins = ["frost"]\nhandlers = ["frost_own_handlers"]\n'
FILE = "frozen.json"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with one installed plugin, one installed handler module and one of its own."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "streamer_plugin_frost.py").write_text(PLUGIN)
    (site / "frost_installed_handlers.py").write_text(HANDLERS.format(action="installed"))
    write_dist(site, "1.0")
    (tmp_path / "frost_own_handlers.py").write_text(HANDLERS.format(action="own"))
    (tmp_path / "streamer.toml").write_text(TOML)
    path = list(sys.path)
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    yield tmp_path
    sys.path[:] = path
    for name in [name for name in sys.modules if "frost" in name]:
        del sys.modules[name]


def write_dist(site: Path, version: str) -> None:
    for other in site.glob("*.dist-info"):
        shutil.rmtree(other)
    info = site / f"streamer_plugin_frost-{version}.dist-info"
    info.mkdir()
    about = f"Metadata-Version: 2.4\nName: streamer-plugin-frost\nVersion: {version}\n"
    (info / "METADATA").write_text(about)
    (info / "entry_points.txt").write_text(
        "[streamer.plugins]\nfrost = streamer_plugin_frost:FrostPlugin\n"
        "[streamer.handlers]\nfrost = frost_installed_handlers\n"
    )
    importlib.invalidate_caches()


def thawed(project: Path) -> Settings:
    return Settings.load(project, environ={})


def frozen(project: Path, **environ: str) -> Settings:
    return Settings.load(project, environ={"STREAMER_FROZEN": FILE, **environ})


@pytest.fixture
def freeze(project: Path) -> Callable[[], dict[str, Any]]:
    def write() -> dict[str, Any]:
        with Streamer.start(thawed(project)) as app:
            app.freeze(project / FILE)
        written: dict[str, Any] = json.loads((project / FILE).read_text())
        return written

    return write


def refusal(settings: Settings) -> str:
    with pytest.raises(ConfigurationError) as refused:
        Streamer.start(settings)
    return str(refused.value)


def test_the_file_says_what_was_resolved(freeze: Callable[[], dict[str, Any]]) -> None:
    written = freeze()
    assert written["format"] == 1
    assert written["core"] == importlib.metadata.version("streamer-core")
    assert written["plugins"] == [
        {
            "name": "frost",
            "value": "streamer_plugin_frost:FrostPlugin",
            "distribution": "streamer-plugin-frost",
            "version": "1.0",
        }
    ]
    assert "frost_installed_handlers" in written["handlers"]
    assert written["handlers"][-1] == "frost_own_handlers"


def test_a_frozen_start_is_the_same_start(
    project: Path, freeze: Callable[[], dict[str, Any]]
) -> None:
    freeze()
    with Streamer.start(thawed(project)) as app, Streamer.start(frozen(project)) as again:
        assert again.plugins == app.plugins == ["frost"]
        actions = [one.spec.action for one in app.registry]
        assert [one.spec.action for one in again.registry] == actions
        assert {"installed", "own"} <= set(actions)


def test_a_frozen_start_reads_no_entry_points(
    project: Path, freeze: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze()

    def scan(*_: object, **__: object) -> NoReturn:
        raise AssertionError("entry points were looked up")

    for module in ("installed", "plugins", "app"):
        monkeypatch.setattr(f"streamer_core.{module}.entry_points", scan)
    monkeypatch.setattr(importlib.metadata, "entry_points", scan)
    # No distribution's entry_points.txt is read either, however one might come to it.
    monkeypatch.setattr(importlib.metadata.Distribution, "entry_points", property(scan))
    with pytest.raises(AssertionError, match="looked up"):
        Streamer.start(thawed(project))
    with Streamer.start(frozen(project)) as app:
        assert app.registry.get("installed") is not None


def test_a_frozen_start_can_be_frozen_again(
    project: Path, freeze: Callable[[], dict[str, Any]]
) -> None:
    written = freeze()
    with Streamer.start(frozen(project)) as app:
        app.freeze(project / "again.json")
    assert json.loads((project / "again.json").read_text()) == written


def test_the_environment_may_differ_from_the_builds(
    project: Path, freeze: Callable[[], dict[str, Any]]
) -> None:
    freeze()
    with Streamer.start(frozen(project, STREAMER_KEEP="1d")) as app:
        assert app.settings.core.keep == 86_400_000


def test_it_goes_before_the_list_of_the_file_that_it_was_made_from(project: Path) -> None:
    """As a bundle's does, where the file names a laptop's plugins, with their sections."""
    listed = TOML.replace("frost", "local", 1) + "\n[plugins.local]\nport = 0\n"
    (project / "streamer.toml").write_text(listed)
    with Streamer.start(Settings.load(project, environ={"STREAMER_PLUGINS": "frost"})) as app:
        app.freeze(project / FILE)
    with Streamer.start(frozen(project)) as app:
        assert app.plugins == ["frost"]
    said = refusal(frozen(project, STREAMER_PLUGINS="frost,local"))
    assert said.endswith(
        "it loads other plugins than STREAMER_PLUGINS names; "
        "run `streamer freeze` again, or start without the frozen file"
    )


def test_changed_settings_are_refused(project: Path, freeze: Callable[[], dict[str, Any]]) -> None:
    freeze()
    (project / "streamer.toml").write_text(TOML + 'keep = "1d"\n')
    assert refusal(frozen(project)).endswith(
        "the settings changed since it was written; run `streamer freeze` again"
    )


def test_another_version_of_a_plugin_is_refused(
    project: Path, freeze: Callable[[], dict[str, Any]]
) -> None:
    freeze()
    write_dist(project / "site", "1.1")
    assert refusal(frozen(project)).endswith(
        "streamer-plugin-frost was 1.0 and is 1.1; run `streamer freeze` again"
    )


def test_an_uninstalled_plugin_is_refused(
    project: Path, freeze: Callable[[], dict[str, Any]]
) -> None:
    freeze()
    info = project / "site" / "streamer_plugin_frost-1.0.dist-info"
    info.rename(info.with_suffix(".away"))
    importlib.invalidate_caches()
    assert "streamer-plugin-frost was 1.0 and is not installed" in refusal(frozen(project))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"core": "0.0.1"}, "streamer-core was 0.0.1 and is "),
        ({"format": 2}, "format was 2 and is 1"),
    ],
)
def test_another_core_is_refused(
    change: dict[str, Any],
    sentence: str,
    project: Path,
    freeze: Callable[[], dict[str, Any]],
) -> None:
    (project / FILE).write_text(json.dumps({**freeze(), **change}))
    assert sentence in refusal(frozen(project))


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "null",
        "[]",
        "{}",
        '{"plugins": [{"name": "x"}]}',
        b"\xff\xfe",
    ],
    ids=["missing", "empty", "cut", "null", "list", "object", "plugin", "no utf-8"],
)
def test_what_is_no_frozen_file_is_refused(text: str | bytes | None, project: Path) -> None:
    if text is not None:
        (project / FILE).write_bytes(text if isinstance(text, bytes) else text.encode())
    said = refusal(frozen(project))
    assert said.startswith(f"{project / FILE}: not a frozen file (")
    assert said.endswith("run `streamer freeze` again")
