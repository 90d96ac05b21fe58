"""The README is true: its example runs as it stands, its tables list all settings."""

import re
import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from streamer_plugin_jwt.algorithms import ALGORITHMS
from streamer_plugin_jwt.settings import Issuer, JwtSettings

from streamer_core import Settings, Streamer
from streamer_core.cli.root import make_cli
from streamer_core.model.connection import Handshake
from streamer_core.settings import validate_section
from streamer_core.testing import MemoryTransport

TEXT = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
FILES = re.findall(r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", "0123456789abcdef" * 4)  # as `openssl rand -hex 32` gives
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in FILES:
        (tmp_path / name).write_text(text)
        # Another test's module of that name may be loaded in this process.
        monkeypatch.delitem(sys.modules, Path(name).stem, raising=False)
    (line,) = re.findall(r"^\$ streamer (token --user .*) > token$", TEXT, re.MULTILINE)
    command = ["--config", str(tmp_path), *shlex.split(line)]
    token = CliRunner().invoke(make_cli(), command).stdout.strip()
    transport = MemoryTransport()
    with Streamer.start(Settings.load(tmp_path), transport=transport) as app:
        handshake = Handshake(connection_id=transport.connect(), token=token)
        (answer,) = app.receive(app.connect(handshake), b'{"action": "report"}').frames
    assert b'"for":"ada","of":"acme"' in answer


def rows(first_column: str) -> dict[str, str]:
    tables = re.findall(rf"^\| {first_column} \|.*\n\|-.*\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    cells = [row.strip("|").split(" | ") for row in "".join(tables).splitlines()]
    return {cell[0].strip(" `"): cell[1].strip(" `") for cell in cells}


def test_every_setting_is_listed_with_its_default() -> None:
    shown = rows("setting")
    names = [one.name for one in fields(Issuer)]
    names += [one.name for one in fields(JwtSettings) if one.name not in names]
    assert list(shown) == names
    made = validate_section(JwtSettings, {"keys": ["env:X"]}, "")
    words: dict[str, Any] = {
        "none": None,
        "false": False,
        "[]": (),
        "{}": {},
        "all that the key has": (),
    }
    for name, text in shown.items():
        if name != "keys" and text in words:
            assert getattr(made, name) == words[text], name
        elif text not in words:
            value = eval(text)  # a literal of the README
            given = validate_section(JwtSettings, {"keys": ["env:X"], name: value}, "")
            assert getattr(given, name) == getattr(made, name), name


def test_every_algorithm_is_listed() -> None:
    assert set(re.findall(r"\b(?:[RPEH]S\d{3}|EdDSA)\b", " ".join(rows("key").values()))) == (
        ALGORITHMS
    )


@pytest.mark.parametrize("command", ["token", "jwt revoke", "jwt revoked", "jwt keys"])
def test_every_command_is_there(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JWT_SECRET", "0123456789abcdef" * 4)
    for name, text in FILES:
        (tmp_path / name).write_text(text)
        # Another test's module of that name may be loaded in this process.
        monkeypatch.delitem(sys.modules, Path(name).stem, raising=False)
    given = ["--config", str(tmp_path), *command.split(), "--help"]
    assert CliRunner().invoke(make_cli(), given).exit_code == 0
    assert f"streamer {command}" in TEXT
