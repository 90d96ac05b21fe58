"""The plugin is found, takes its settings and answers to its name only."""

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from streamer_plugin_sqlite import SqlitePlugin, SqliteStore

from streamer_core.errors import ConfigurationError
from streamer_core.model.ids import tenant_part
from streamer_core.model.tables import OwnTables
from streamer_core.ports import Store
from streamer_core.settings import Settings, validate_section
from streamer_core.testing.clock import ManualClock


class Project:
    """What the plugin asks of the application."""

    def __init__(self, root: Path = Path("/nowhere")) -> None:
        self.settings = Settings(source=root / "streamer.toml")


def opened(name: str, **section: Any) -> Store | None:
    settings = validate_section(SqlitePlugin.Settings, section, "[plugins.sqlite]")
    return SqlitePlugin(settings, Project()).streamer_open_store(name, ManualClock())


def test_its_entry_point_is_found() -> None:
    (entry,) = entry_points(group="streamer.plugins", name="sqlite")
    assert entry.load() is SqlitePlugin


def test_it_opens_the_store_of_its_name(path: Path) -> None:
    store = opened("sqlite", path=str(path), synchronous="NORMAL", busy_timeout="1s")
    assert isinstance(store, SqliteStore)
    assert store.path == path.resolve()
    store.close()


def test_a_relative_path_begins_at_the_project(tmp_path: Path) -> None:
    plugin = SqlitePlugin(SqlitePlugin.Settings(path=Path("data/x.db")), Project(tmp_path))
    store = plugin.streamer_open_store("sqlite", ManualClock())
    assert isinstance(store, SqliteStore)
    assert store.path == (tmp_path / "data" / "x.db").resolve()
    store.close()


def test_a_tenant_may_have_a_file_of_its_own(tmp_path: Path) -> None:
    plugin = SqlitePlugin(SqlitePlugin.Settings(path=Path("x.db")), Project(tmp_path))
    acme = OwnTables(tenant="acme/../../", prefix="acme-")
    assert plugin.streamer_open_tenant_store("dynamodb", ManualClock(), acme) is None
    store = plugin.streamer_open_tenant_store("sqlite", ManualClock(), acme)
    assert isinstance(store, SqliteStore)
    assert store.path == (tmp_path / f"x-{tenant_part(acme.tenant)}.db").resolve()
    store.close()


def test_another_name_is_not_its_own(path: Path) -> None:
    assert opened("dynamodb", path=str(path)) is None
    assert not path.exists()


def test_the_default_is_a_directory_of_the_project() -> None:
    assert SqlitePlugin.Settings().path == Path(".streamer/streamer.db")


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"pth": "x"}, "pth: there is no such setting; did you mean 'path'?"),
        ({"synchronous": "OFF"}, "synchronous"),
        ({"busy_timeout": "1h"}, "busy_timeout"),
        ({"path": ":memory:"}, r"\[plugins.sqlite\] path: ':memory:'"),
    ],
)
def test_a_bad_setting_stops_the_start(section: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        opened("sqlite", **section)
