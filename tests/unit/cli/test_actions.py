"""`streamer actions` from the project itself; test_gateway.py asks a gateway."""

import json
from pathlib import Path

from tests.unit.cli.tools import TOML, Lines, Run


def test_actions_of_the_project(run: Run, lines: Lines, project: Path) -> None:
    table = run("actions", "--local").stdout.splitlines()
    assert table[0].split() == ["ACTION", "MODE", "ESTIMATE", "DESCRIPTION"]
    assert "steps   async  1.5m      Report." in table
    assert "greet   sync             Greet." in table
    steps = next(one for one in lines("actions", "--local") if one["action"] == "steps")
    assert (steps["mode"], steps["estimated_ms"]) == ("async", 90_000)


def test_a_schema(run: Run, project: Path) -> None:
    schema = json.loads(run("actions", "--local", "--schema", "greet").stdout)
    assert schema["required"] == ["name"]
    result = run("actions", "--local", "--schema", "nosuch")
    assert result.exit_code == 1
    assert "there are: echo, greet" in result.stderr


def test_no_actions(run: Run, project: Path) -> None:
    (project / "streamer.toml").write_text(TOML.replace('["cli_actions"]', "[]"))
    result = run("actions", "--local")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "[streamer] handlers" in result.stderr
