import json
from pathlib import Path

from streamer_core import Settings, Streamer
from streamer_core.testing import MemoryTransport
from tests.unit.cli.tools import TOML, Run


def test_a_start_from_what_was_frozen(run: Run, project: Path) -> None:
    result = run("freeze")
    path = project / "streamer.frozen.json"
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{path}: 2 plugins, 7 actions\n"
    assert f"STREAMER_FROZEN={path}" in result.stderr
    assert json.loads(path.read_text())["handlers"] == ["cli_actions"]
    settings = Settings.load(project, environ={"STREAMER_FROZEN": str(path)})
    with Streamer(settings, transport=MemoryTransport()) as app:
        assert app.plugins == ["local", "sqlite"]


def test_another_file(run: Run, project: Path) -> None:
    assert run("freeze", "--output", "other.json").exit_code == 0
    assert (project / "other.json").is_file()


def test_that_a_stale_file_is_renewed(run: Run, project: Path) -> None:
    (project / "streamer.toml").write_text(TOML.replace("keep =", 'frozen = "f.json"\nkeep ='))
    (project / "f.json").write_text("{}")
    result = run("freeze")
    assert (result.exit_code, result.stderr) == (0, "")
    with Streamer(Settings.load(project), transport=MemoryTransport()) as app:
        assert app.plugins == ["local", "sqlite"]


def test_that_what_does_not_start_is_not_frozen(run: Run, project: Path) -> None:
    (project / "cli_actions.py").write_text("1 / 0")
    result = run("freeze")
    assert result.exit_code == 2
    assert "`streamer plugins doctor`" in result.stderr
    assert not (project / "streamer.frozen.json").exists()


def test_a_file_that_cannot_be_written(run: Run, project: Path) -> None:
    result = run("freeze", "--output", str(project / "nowhere" / "f.json"))
    assert result.exit_code == 2
    assert "nowhere/f.json: No such file or directory" in result.stderr
    assert "Hint: --output names another file" in result.stderr
