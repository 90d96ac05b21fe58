"""What is installed from wheels serves: core, sqlite and local, and each plugin beside them.

Each combination has a fresh environment, and is used as a user would: by the `streamer` command.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from streamer_plugin_jwt.testing import key_of

from tests.e2e.kit.seed import LONG
from tests.e2e.wheels.conftest import ROOT, UV

ENVIRONMENT = "environment"
_BOUND_S = 60

HANDLERS = """
from streamer_core import handler


@handler("echo")
def echo(payload: dict) -> dict:
    return payload


@handler("later", mode="async")
def later(payload: dict) -> dict:
    return payload
"""
TOML = """
[streamer]
handlers = ["app_handlers"]

[plugins.local]
port = 0
reload = false
sync_workers = 1
async_workers = 1
"""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a plugin must be given to serve on this machine.

    Args:
        section: the least that `[plugins.x]` must say, as TOML.
        token: what a client shows, where the plugin asks for one.
    """

    section: str = ""
    token: str = ""


KEY = key_of("ES256")
TOKEN = KEY.sign(
    {"sub": "ada", "tenant": "acme", "iat": time.time(), "exp": time.time() + 2_000_000}
)
BASE = ("local", "sqlite")
BESIDE: Mapping[str, Needs] = {
    "apigateway": Needs(),
    "circuitbreaker": Needs(),
    "cloudwatch": Needs(section='to = "metrics.jsonl"'),
    "dlq": Needs(),
    "dynamodb": Needs(),
    "jwt": Needs(section=f"keys = ['{json.dumps(KEY.jwk())}']\ntenant = \"tenant\"", token=TOKEN),
    "otel": Needs(section='endpoint = "http://127.0.0.1:9"'),
    "ratelimit": Needs(section='limits = [{ name = "messages", rate = "100/s" }]'),
    "tenancy": Needs(section='[plugins.local.principal]\ntenant = "acme"'),
    "xray": Needs(section='daemon = "127.0.0.1:9"'),
}
PLUGINS = sorted(
    folder.name.removeprefix("streamer-plugin-")
    for folder in (ROOT / "plugins").glob("streamer-plugin-*")
)


def needs_of(plugin: str) -> Needs:
    assert plugin in BESIDE, (
        f"tests/e2e/wheels/test_wheels.py tries every plugin: write in BESIDE what "
        f"{plugin!r} needs; Needs() where that is nothing"
    )
    return BESIDE[plugin]


@dataclass(frozen=True, kw_only=True)
class Installed:
    """An environment with packages of ours, and a project.

    Args:
        folder: of the project.
        bin: of the environment.
        token: to show to the gateway.
    """

    folder: Path
    bin: Path
    token: str

    def streamer(self, *arguments: str) -> list[dict[str, Any]]:
        """Run the command, with `--json`, and read the answer."""
        done = subprocess.run(
            [self.bin / "streamer", *arguments, "--json"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_BOUND_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of this environment's."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**kept, "STREAMER_TOKEN": self.token, "PYTHONUNBUFFERED": "1"}

    @contextmanager
    def gateway(self) -> Iterator[str]:
        """Serve the project, and give the address."""
        with subprocess.Popen(
            [self.bin / "streamer", "dev"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            try:
                lines = (line.split() for line in process.stdout if "ws://" in line)
                found = next(lines, None)
                assert found is not None, "it did not start"
                yield found[1]
            finally:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=_BOUND_S)


def install(folder: Path, pinned: Path, *plugins: str) -> Installed:
    needs = [needs_of(plugin) for plugin in plugins]
    sections = [
        f"[plugins.{plugin}]\n{one.section}" for plugin, one in zip(plugins, needs, strict=True)
    ]
    (folder / "streamer.toml").write_text("\n".join([TOML, *sections]))
    (folder / "app_handlers.py").write_text(HANDLERS)
    home = folder / ENVIRONMENT
    subprocess.run([UV, "-q", "venv", "--python", sys.executable, home], check=True)
    wanted = ["streamer-core[dev]", *(f"streamer-plugin-{plugin}" for plugin in plugins)]
    subprocess.run(
        [UV, "-q", "pip", "install", "--python", home, "--constraint", pinned, *wanted], check=True
    )
    token = next((one.token for one in needs if one.token), "")
    return Installed(folder=folder, bin=home / "bin", token=token)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path / ENVIRONMENT)  # pytest keeps what tests write, and this is much


OTHERS = [plugin for plugin in PLUGINS if plugin not in BASE]
SOME = [tuple(OTHERS[first :: len(OTHERS) // 2]) for first in range(len(OTHERS) // 2)]
"""Pairs, each plugin in one: what one of them lacks, the other is unlikely to bring."""

EACH = [(plugin,) for plugin in OTHERS]


@pytest.mark.parametrize("plugins", [(), *(EACH if LONG else SOME), tuple(OTHERS)], ids="+".join)
def test_it_serves(folder: Path, pinned: Path, plugins: tuple[str, ...]) -> None:
    installed = install(folder, pinned, *plugins)
    listed = installed.streamer("plugins")
    assert {one["name"] for one in listed} == {*BASE, *plugins}
    assert {one["status"] for one in listed} == {"on"}, listed
    with installed.gateway() as url:
        for action in ("echo", "later"):
            *_, end = installed.streamer("send", action, '{"n": 1}', "--url", url)
            assert (end["type"], end["result"]) == ("complete", {"n": 1})


def test_a_wheel_holds_all_that_its_package_has(wheels: list[Path]) -> None:
    held = {name for wheel in wheels for name in zipfile.ZipFile(wheel).namelist()}
    sources = [ROOT, ROOT / "clients" / "python" / "src", *ROOT.glob("plugins/*/src")]
    for source in sources:
        for path in source.glob("streamer_*/**/*"):
            if path.is_file() and path.parent.name != "__pycache__":
                assert path.relative_to(source).as_posix() in held


def test_a_plugin_that_is_not_in_the_table_is_missed() -> None:
    with pytest.raises(AssertionError, match="write in BESIDE what 'nosuch' needs"):
        needs_of("nosuch")
