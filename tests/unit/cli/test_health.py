"""`streamer health`: this process's checks, or a running gateway's."""

import json
from pathlib import Path

import pytest

from streamer_core.errors import StoreError
from tests.unit.cli.tools import Dist, Run, Start

PLUGIN = """
    import threading
    from streamer_core.plugin import Health, hookimpl

    class Plugin:
        def __init__(self, settings, app):
            pass

        @hookimpl
        def streamer_health(self):
            return {answer}
"""
LIMPS = "Health(name='limb', ok=True, degraded=True, detail='it \\\\x1b[31m limps', latency_ms=2)"


@pytest.fixture
def only(project: Path) -> Path:
    """Let the project load these plugins."""
    text = (project / "streamer.toml").read_text()
    (project / "streamer.toml").write_text(text.replace('"local"]', '"local", "limb"]'))
    return project


def test_all_is_well(run: Run, project: Path) -> None:
    result = run("health")
    status, head, store = result.stdout.splitlines()
    assert (result.exit_code, status) == (0, "ok")
    assert head.split() == ["CHECK", "STATUS", "LATENCY", "DETAIL"]
    assert store.split()[:2] == ["store", "ok"]
    shown = json.loads(run("health", "--json").stdout)
    assert shown["status"] == "ok"
    assert [check["name"] for check in shown["checks"]] == ["store"]


def test_what_limps_is_shown_and_is_not_dead(run: Run, only: Path, dist: Dist) -> None:
    dist("limb", PLUGIN.replace("{answer}", LIMPS))
    result = run("health")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "degraded")
    assert "limb   degraded  2.0 ms   it \\x1b[31m limps" in result.stdout


def test_a_store_that_does_not_answer_is_dead(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(_: object) -> None:
        raise StoreError("a secret of the house")

    monkeypatch.setattr("streamer_plugin_sqlite.store.SqliteStore.check", check)
    result = run("health", "--json")
    assert (result.exit_code, json.loads(result.stdout)["status"]) == (1, "dead")
    assert "secret" not in result.output


def test_a_check_that_hangs_does_not_keep_the_command(start: Start, only: Path, dist: Dist) -> None:
    path = dist("limb", PLUGIN.replace("{answer}", "threading.Event().wait()"))
    process = start("health", "--json", PYTHONPATH=path)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    checks = {check["name"]: check["status"] for check in json.loads(out)["checks"]}
    assert checks == {"store": "ok", "limb": "dead"}


def test_a_store_that_cannot_be_opened(run: Run, project: Path) -> None:
    result = run("health", STREAMER_STORE="nosuch")
    assert result.exit_code == 2
    assert "pip install streamer-plugin-nosuch" in result.stderr


def test_a_gateway_by_its_address(run: Run, gateway: str, tmp_path: Path) -> None:
    result = run("health", "--url", gateway, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["checks"][0]["name"] == "store"
    assert run("health", "--url", gateway).stdout.startswith("ok\nCHECK")


def test_a_gateway_that_is_not_there(run: Run) -> None:
    result = run("health", "--url", "ws://127.0.0.1:1")
    assert result.exit_code == 6
    assert result.stdout == ""


def test_that_a_token_needs_a_gateway(run: Run, project: Path) -> None:
    result = run("health", "--token", "x")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--url" in result.stderr
