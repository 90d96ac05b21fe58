"""A project to run commands in, plugins made on the spot, a real gateway, a real terminal."""

import json
import os
import pty
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from streamer_core import Settings, Streamer
from streamer_core.cli.root import make_cli
from streamer_core.testing import MemoryTransport
from tests.unit.cli.tools import (
    STREAMER,
    Dist,
    Lines,
    OnTerminal,
    Run,
    Seeded,
    Start,
    environment,
    write_project,
)


@pytest.fixture(autouse=True)
def clean_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("STREAMER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", sys.path[:])
    configured, before = structlog.is_configured(), structlog.get_config()
    yield
    structlog.configure(**before) if configured else structlog.reset_defaults()


@pytest.fixture
def run() -> Run:
    def run(*args: str, given: str | None = None, **env: str) -> Result:
        runner = CliRunner(env=env)
        return runner.invoke(
            make_cli(), args, input=given, catch_exceptions=False, prog_name="streamer"
        )

    return run


@pytest.fixture
def lines(run: Run) -> Lines:
    """Run with --json and read the answer."""

    def lines(*args: str) -> list[dict[str, Any]]:
        result = run(*args, "--json")
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    return lines


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield write_project(tmp_path)
    sys.modules.pop("cli_actions", None)


@pytest.fixture
def seeded(project: Path) -> Iterator[Seeded]:
    with Streamer(Settings.load(project), transport=MemoryTransport()) as app:
        yield Seeded(app)


@pytest.fixture
def dist(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Dist:
    def dist(name: str, source: str) -> str:
        folder = tmp_path_factory.mktemp(name)
        module = f"cli_test_{name}"
        (folder / f"{module}.py").write_text(textwrap.dedent(source))
        info = folder / f"dist_{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[streamer.plugins]\n{name} = {module}:Plugin\n")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, module, raising=False)
        return str(folder)

    return dist


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the project for all tests; give the address."""
    folder = write_project(tmp_path_factory.mktemp("served"))
    with subprocess.Popen(
        [STREAMER, "dev"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env=environment({"PYTHONUNBUFFERED": "1"}),
    ) as process:
        assert process.stdout is not None
        url = next(line.split()[1] for line in process.stdout if "ws://" in line)
        try:
            yield url
        finally:
            process.terminate()
            process.communicate(timeout=30)


@pytest.fixture(scope="session")
def served(gateway: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of the project that is served."""
    return tmp_path_factory.getbasetemp() / "served0"


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(*args: str, **env: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [STREAMER, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(env),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def on_terminal() -> OnTerminal:
    def on_terminal(*args: str, **env: str) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        surroundings = environment({"TERM": "xterm-256color", "COLUMNS": "160", **env})
        with subprocess.Popen(
            [STREAMER, *args], stdin=theirs, stdout=theirs, stderr=theirs, env=surroundings
        ) as process:
            os.close(theirs)
            seen = b""
            try:
                while data := os.read(ours, 65536):
                    seen += data
            except OSError:  # EIO: the other end is closed
                pass
            os.close(ours)
            return process.wait(timeout=30), seen.decode()

    return on_terminal
