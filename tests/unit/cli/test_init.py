"""`streamer init`, and that what it writes is true."""

import json
import tomllib
from pathlib import Path

import pytest

from streamer_core import Principal, Settings, Streamer
from streamer_core.cli.init import FILES
from streamer_core.cli.starter import handlers
from streamer_core.handlers import declared
from streamer_core.model.connection import Connection
from streamer_core.model.ids import ref_of
from streamer_core.model.request import Request, Status
from streamer_core.registry import Registry
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport
from tests.unit.cli.tools import Run

CONNECTION = Connection(id="c-1", principal=Principal(user="ann"), expires_at=2**53)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_project(run: Run, elsewhere: Path) -> None:
    result = run("init", "my project")
    assert result.exit_code == 0
    assert {path.name for path in (elsewhere / "my project").iterdir()} == set(FILES.values())
    assert "cd 'my project'\n    streamer dev\n" in result.stdout
    settings = Settings.load(elsewhere / "my project")
    assert settings.core.handlers == ("handlers",)
    assert settings.plugins["sqlite"] == {"path": ".streamer/streamer.db"}
    assert ".streamer/" in (elsewhere / "my project/.gitignore").read_text()


def test_a_project_here(run: Run, elsewhere: Path) -> None:
    assert "cd " not in run("init").stdout
    assert tomllib.loads((elsewhere / "streamer.toml").read_text())["streamer"]["store"] == "sqlite"
    checked = run("plugins", "doctor")
    assert checked.exit_code == 0, checked.output
    assert "count, hello" in checked.stdout


def test_that_nothing_is_overwritten(run: Run, elsewhere: Path) -> None:
    (elsewhere / "README.md").write_text("mine")
    result = run("init")
    assert result.exit_code == 2
    assert "README.md is there already; nothing was written" in result.stderr
    assert [path.name for path in elsewhere.iterdir()] == ["README.md"]


def test_a_folder_that_cannot_be_made(run: Run, elsewhere: Path) -> None:
    (elsewhere / "file").write_text("")
    assert run("init", "file/project").exit_code == 2


def test_that_settings_elsewhere_do_not_matter(run: Run, elsewhere: Path) -> None:
    (elsewhere / "streamer.toml").write_text("[streamer]\nstoer = 1")
    assert run("init", "new").exit_code == 0


@pytest.fixture
def app() -> Streamer:
    app = Streamer(
        Settings.of(),
        store=MemoryStore(ManualClock()),
        transport=MemoryTransport(),
        clock=ManualClock(),
        found=[],
        load_handlers=False,
    )
    app.runtime.registry = Registry(declared(handlers))
    return app


def test_the_action_that_answers_at_once(app: Streamer) -> None:
    app.store.put_connection(CONNECTION)
    message = {"action": "hello", "payload": {"name": "you"}}
    received = app.receive(CONNECTION, json.dumps(message).encode())
    assert json.loads(received.frames[0])["data"] == {"greeting": "Hello, you"}


def test_the_action_that_takes_its_time(app: Streamer) -> None:
    app.store.put_connection(CONNECTION)
    message = {"id": "r-1", "action": "count", "payload": {"to": 3, "pause": 0}}
    received = app.receive(CONNECTION, json.dumps(message).encode())
    assert json.loads(received.frames[0])["type"] == "acknowledgment"
    assert app.work()
    request = app.store.get(ref_of("default", "ann", "r-1"))
    assert request is not None
    assert request.status is Status.COMPLETED
    assert request.outcome == {"result": {"counted": 3}}
    assert request.last_seq == 4


@pytest.mark.parametrize("payload", [{"to": 0}, {"to": 0, "pause": 0}])
def test_what_it_rejects(app: Streamer, payload: dict[str, int]) -> None:
    ref = ref_of("default", "ann", "r-1")
    app.store.enqueue(
        Request(ref=ref, id="r-1", action="count", tenant="default", user="ann", payload=payload)
    )
    assert app.work()
    request = app.store.get(ref)
    assert request is not None
    assert request.outcome is not None
    assert request.outcome["error"]["code"] == "count.nothing"
