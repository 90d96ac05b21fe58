"""Requests that have failed, a process with the plugin in it, and its command."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from streamer_plugin_dlq import DlqPlugin
from streamer_plugin_dlq.settings import DlqSettings

from streamer_core.cli.root import make_cli
from streamer_core.model.request import Failure, Request, Status
from streamer_core.ports import Clock
from streamer_core.testing.contracts.build import a_request
from tests.conftest import logs
from tests.unit.harness import Rig

__all__ = ["logs"]

Failed = Callable[..., Request]
Plugged = Callable[..., DlqPlugin]
Run = Callable[..., Result]


@pytest.fixture
def failed() -> Failed:
    """Give a function that makes a request that has failed for good just now."""

    def failed(clock: Clock, name: str = "r-1", *, code: str = "GONE", **given: Any) -> Request:
        now = clock.now()
        failures = tuple(
            Failure(attempt=n, code=code, message="no", kind="OSError", trace=f"stack {n}", at=now)
            for n in (1, 2)
        )
        known: dict[str, Any] = {"failures": failures, "finished_at": now, **given}
        return a_request(clock, name, status=Status.FAILED, **known)

    return failed


@pytest.fixture
def plugged() -> Plugged:
    """Give a function that puts the plugin into a process, with these settings."""

    def plugged(rig: Rig, **section: Any) -> DlqPlugin:
        plugin = DlqPlugin(DlqSettings(**section), rig.app)
        rig.plug(plugin)
        return plugin

    return plugged


@pytest.fixture
def run() -> Run:
    """Give a function that runs `streamer dlq` for a project, as a process of its own would."""

    def run(project: Path, *arguments: str, code: int = 0) -> Result:
        given = ("--config", str(project), "dlq", *arguments)
        result = CliRunner().invoke(make_cli(), given, prog_name="streamer", catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def lines(run: Run) -> Callable[..., list[dict[str, Any]]]:
    """Give one that reads what the command says to scripts."""

    def lines(project: Path, *arguments: str) -> list[dict[str, Any]]:
        said = run(project, *arguments, "--json").stdout
        return [json.loads(line) for line in said.splitlines()]

    return lines
