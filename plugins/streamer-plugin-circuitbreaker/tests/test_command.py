"""`streamer circuits`, on a project's store."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result
from streamer_plugin_sqlite import SqliteStore

from streamer_core.cli.root import make_cli
from streamer_core.ports import SystemClock

Run = Callable[..., Result]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "streamer.toml").write_text('[streamer]\nplugins = ["sqlite", "circuitbreaker"]\n')
    return tmp_path


@pytest.fixture
def run(project: Path) -> Iterator[Run]:
    configured, before = structlog.is_configured(), structlog.get_config()

    def run(*arguments: str) -> Result:
        given = ["--config", str(project), "circuits", *arguments]
        return CliRunner().invoke(make_cli(), given, catch_exceptions=False)

    yield run
    structlog.configure(**before) if configured else structlog.reset_defaults()


@pytest.fixture
def ledger(project: Path, processes: Any) -> Iterator[Any]:
    """A process of the project's, with a circuit that failures have opened."""
    clock = SystemClock()
    (project / ".streamer").mkdir()
    store = SqliteStore(project / ".streamer" / "streamer.db", clock)
    process = processes.of(store, clock, {"minimum_calls": 2, "interval": "100ms"})
    process.uses(2, fails=True)
    yield process
    process.app.close()


def test_the_list(run: Run, ledger: Any) -> None:
    lines = run("list").output.splitlines()
    assert lines[0].split() == ["CIRCUIT", "STATE", "WHY", "CALLS", "FAILED", "SLOW", "NEXT"]
    assert lines[1].startswith("ledger   open   failures  2      100 %   0 %   probed in ")
    told = json.loads(run("list", "--json").output)
    assert 0 < told.pop("until") - told.pop("since") <= 60_000
    assert told == {
        "circuit": "ledger",
        "state": "open",
        "why": "failures",
        "calls": 2,
        "failed": 2,
        "slow": 0,
        "by_hand": False,
        "probes": 0,
        "passed": 0,
    }


def test_a_name_cannot_drive_the_terminal(run: Run, ledger: Any) -> None:
    name = "\x1b[2J\nledger  closed"
    ledger.use(fails=True, name=name)
    listed = run("list").output
    assert len(listed.splitlines()) == 3, "a head and two circuits"
    assert "\x1b" not in listed + run("close", "ledgr").output + run("close", name).output


def test_close(run: Run, ledger: Any) -> None:
    assert run("close", "ledger").output.splitlines()[-1] == "ledger: closed; it was open"
    assert ledger.phase == "closed"
    assert run("close", "ledger").output == "ledger: closed; it was closed\n"


def test_reset_leaves_what_a_person_opened(run: Run, ledger: Any) -> None:
    assert run("reset", "ledger").output.splitlines()[-1] == "ledger: closed; it was open"
    said = "ledger: open by hand, until it is closed; it was"
    assert run("open", "ledger").output.splitlines()[-1] == f"{said} closed"
    assert run("open", "ledger").output == f"{said} open\n"
    assert run("reset", "ledger").output == f"{said} open\n"
    assert ledger.row()["next"] == "until closed by hand"


def test_an_actions_circuit_has_its_actions_name(run: Run, project: Path) -> None:
    with (project / "streamer.toml").open("a") as settings:
        settings.write('[plugins.circuitbreaker.actions."report.*"]\n')
    assert "action:report.day: open by hand" in run("open", "action:report.day").output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("close", "ledger"), "no circuit is named 'ledger'; there is none"),
        (("reset", "action:x"), "no circuit is named 'action:x'"),
        (("open", "action:report.day"), "'report.day': it has no circuit"),
        (("open", "mail-*"), "a pattern is no circuit: open one after the other"),
        (("open", ""), "the name of a circuit has 1 to 100 characters"),
        (("open", "x" * 101), "the name of a circuit has 1 to 100 characters"),
    ],
)
def test_what_cannot_be_done(run: Run, arguments: tuple[str, ...], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in result.output


def test_a_misspelt_one(run: Run, ledger: Any) -> None:
    assert "no circuit is named 'ledgr'; there are: ledger" in run("close", "ledgr").output
