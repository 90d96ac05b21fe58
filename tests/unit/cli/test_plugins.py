"""`streamer plugins` and its doctor, with plugins really installed."""

import json
from pathlib import Path

import pytest

from streamer_core.errors import StoreError
from tests.unit.cli.tools import Dist, Lines, Run

PLAIN = """
    from pydantic import BaseModel, ConfigDict
    from streamer_core.markers import hookimpl
    from streamer_core.model.manifest import Manifest

    class Plugin:
        manifest = Manifest({manifest})

        class Settings(BaseModel):
            model_config = ConfigDict(extra="forbid")
            size: int = 1

        def __init__(self, settings, app):
            pass

        @hookimpl
        def {hook}:
            return None
"""


def plain(hook: str = "streamer_health(self)", manifest: str = "") -> str:
    return PLAIN.replace("{hook}", hook).replace("{manifest}", manifest)


@pytest.fixture
def only(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the project load whatever is installed."""
    text = (project / "streamer.toml").read_text()
    (project / "streamer.toml").write_text(text.replace('plugins = ["sqlite", "local"]', ""))
    monkeypatch.setenv("STREAMER_PLUGINS__JWT__KEYS", '["env:JWT_SECRET"]')  # it starts with none
    monkeypatch.setenv("JWT_SECRET", "a-secret-of-the-tests-that-is-long-enough")
    return project


def doctor(run: Run, code: int = 1) -> dict[str, tuple[str, str]]:
    result = run("plugins", "doctor", "--json")
    assert result.exit_code == code, result.output
    checks = [json.loads(line) for line in result.stdout.splitlines()]
    return {check["name"]: (check["status"], check["detail"]) for check in checks}


def test_plugins_in_their_order(run: Run, lines: Lines, project: Path, dist: Dist) -> None:
    dist("last", plain(manifest="after=('sqlite', 'local')"))
    text = (project / "streamer.toml").read_text().replace('"local"]', '"local", "last"]')
    (project / "streamer.toml").write_text(text)
    assert run("plugins").stdout == run("plugins", "list").stdout
    rows = [row for row in lines("plugins", "list") if row["status"] == "on"]
    assert [row["order"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[-1] == {
        "order": len(rows),
        "name": "last",
        "status": "on",
        "version": "1.2",
        "distribution": "dist-last",
        "hooks": ["streamer_health"],
        "problem": None,
    }
    (shown,) = [one.split() for one in run("plugins").stdout.splitlines() if "last" in one]
    assert shown[1:] == ["last", "on", "1.2", "dist-last", "health"]


def test_plugins_that_are_off_or_broken(run: Run, lines: Lines, project: Path, dist: Dist) -> None:
    dist("aside", plain())
    dist("broken", "raise ImportError('no such luck')")
    rows = {row["name"]: row for row in lines("plugins", "list")}
    assert rows["aside"]["status"] == "off"
    assert rows["broken"]["status"] == "broken"
    assert "no such luck" in rows["broken"]["problem"]
    assert "streamer plugins doctor" in run("plugins").stderr


def test_that_a_list_needs_no_order(run: Run, only: Path, dist: Dist) -> None:
    dist("one", plain(manifest="conflicts=('sqlite',)"))
    result = run("plugins")
    assert result.exit_code == 0
    assert all(line.startswith("-") for line in result.stdout.splitlines()[1:])


def test_no_plugins(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer_core.cli.loading.installed", list)
    result = run("plugins", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "pip install" in result.stderr


def test_a_project_in_health(run: Run, project: Path) -> None:
    checks = doctor(run, code=0)
    assert {status for status, _ in checks.values()} == {"OK"}
    assert checks["all plugins"][1] == "local -> sqlite"
    assert "greet" in checks["handlers"][1]
    out = run("plugins", "doctor").stdout
    assert "OK    plugin sqlite: streamer-plugin-sqlite" in out


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("raise ImportError('no such luck')", "cannot be imported: ImportError: no such luck"),
        (plain("streamer_helth(self)"), "unknown hook 'streamer_helth'"),
        (plain("streamer_health(self, more)"), "streamer_health"),
        (plain(manifest="requires=('nosuch',)"), "pip install streamer-plugin-nosuch"),
        ("class Plugin:\n    manifest = 1", "Plugin.manifest must be a"),
        ("Plugin = 1", "is not a class"),
    ],
)
def test_a_plugin_that_is_broken(
    run: Run, only: Path, dist: Dist, source: str, sentence: str
) -> None:
    dist("bad", source)
    checks = doctor(run)
    assert checks["plugin bad"][0] == "FAIL"
    assert sentence in checks["plugin bad"][1]
    assert checks["plugin sqlite"][0] == "OK"
    assert checks["store and handlers"][0] == "-"


def test_a_plugin_with_a_wrong_setting(run: Run, only: Path, dist: Dist) -> None:
    dist("sized", plain())
    with (only / "streamer.toml").open("a") as file:
        file.write('\n[plugins.sized]\nsize = "large"\n')
    assert "[plugins.sized] size: Input should be a valid integer" in doctor(run)["plugin sized"][1]


def test_a_plugin_that_requires_another(run: Run, only: Path, dist: Dist) -> None:
    dist("base", plain())
    dist("above", plain(manifest="requires=('base',)"))
    checks = doctor(run, code=0)
    assert checks["all plugins"][1].index("base") < checks["all plugins"][1].index("above")


def test_plugins_that_work_only_alone(run: Run, only: Path, dist: Dist) -> None:
    dist("one", plain(manifest="before=('two',)"))
    dist("two", plain(manifest="before=('one',)"))
    checks = doctor(run)
    assert checks["plugin one"][0] == checks["plugin two"][0] == "OK"
    assert "impossible order" in checks["all plugins"][1]


def test_a_plugin_that_is_left_out(run: Run, project: Path, dist: Dist) -> None:
    dist("aside", plain())
    assert "left out by [streamer] plugins" in doctor(run, code=0)["plugin aside"][1]


def test_settings_for_a_plugin_that_is_not_there(run: Run, project: Path) -> None:
    with (project / "streamer.toml").open("a") as file:
        file.write("\n[plugins.nosuch]\nsize = 1\n")
    assert "pip install streamer-plugin-nosuch" in doctor(run)["all plugins"][1]


def test_settings_that_are_wrong(run: Run, project: Path, dist: Dist) -> None:
    dist("broken", "raise ImportError('no such luck')")
    (project / "streamer.toml").write_text("[streamer]\nstoer = 1")
    checks = doctor(run)
    assert "did you mean 'store'?" in checks["settings"][1]
    assert checks["plugin sqlite"][0] == "OK"
    assert checks["plugin broken"][0] == "FAIL"


def test_a_store_that_does_not_open(run: Run, project: Path) -> None:
    (project / "file").write_text("")
    toml = (project / "streamer.toml").read_text()
    (project / "streamer.toml").write_text(toml.replace("streamer.db", "file/streamer.db"))
    checks = doctor(run)
    assert checks["store sqlite"][0] == "FAIL"
    assert "handlers" not in checks


def test_a_store_that_does_not_answer(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamer_plugin_sqlite import SqliteStore

    def check(_: SqliteStore) -> None:
        raise StoreError("gone")

    monkeypatch.setattr(SqliteStore, "check", check)
    assert "does not answer: StoreError" in doctor(run)["store sqlite"][1]


def test_a_store_with_a_bug(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamer_plugin_sqlite import SqliteStore

    monkeypatch.setattr(SqliteStore, "check", lambda _: 1 / 0)
    assert "ZeroDivisionError" in doctor(run)["store sqlite"][1]


def test_a_module_of_handlers_that_is_broken(run: Run, project: Path) -> None:
    (project / "cli_actions.py").write_text("1 / 0")
    status, detail = doctor(run)["handlers"]
    assert status == "FAIL"
    assert "ZeroDivisionError" in detail


def test_no_handlers(run: Run, project: Path) -> None:
    toml = (project / "streamer.toml").read_text()
    (project / "streamer.toml").write_text(toml.replace('["cli_actions"]', "[]"))
    assert "there are none" in doctor(run, code=0)["handlers"][1]
