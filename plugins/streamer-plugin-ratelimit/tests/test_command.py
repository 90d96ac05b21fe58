"""`streamer ratelimit` on a store that others use."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamer_core import Settings, Streamer
from streamer_core.cli.root import make_cli
from streamer_core.errors import RateLimited
from streamer_core.model.connection import Connection
from streamer_core.model.message import Message
from streamer_core.model.principal import Principal
from streamer_core.testing import MemoryTransport

TOML = """
[streamer]
plugins = ["sqlite", "ratelimit"]

[plugins.sqlite]
path = "streamer.db"

[[plugins.ratelimit.limits]]
name = "messages"
rate = "5/d"

[[plugins.ratelimit.limits]]
name = "all"
rate = "10/d"
burst = 1000
by = []
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Streamer]:
    (tmp_path / "streamer.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)
    settings = Settings.load(tmp_path)
    with Streamer.start(settings, transport=MemoryTransport(), load_handlers=False) as app:
        yield app


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(make_cli(), ["ratelimit", *words], catch_exceptions=False)
    return result.exit_code, result.output


def sent(app: Streamer, user: str) -> bool:
    principal = Principal(user=user, tenant="acme")
    connection = Connection(id="c-1", principal=principal)
    try:
        app.runtime.hook.streamer_limit(
            principal=principal, connection=connection, request=Message(id="r-1", action="x")
        )
    except RateLimited:
        return False
    return True


def test_counters_are_shown_and_emptied(app: Streamer) -> None:
    assert [sent(app, "ann") for _ in range(6)] == [True] * 5 + [False]
    code, said = run("show")
    assert (code, said.splitlines()) == (
        0,
        ["messages: 5/d, 5 at once; by tenant, user", "all: 10/d, 1000 at once; 5.0 used"],
    )
    ann = ("--tenant", "acme", "--user", "ann", "--limit", "messages")
    assert run("show", *ann) == (0, "messages: 5/d, 5 at once; 5.0 used\n")
    assert run("reset", *ann) == (0, "messages: emptied\n")
    assert run("show", *ann) == (0, "messages: 5/d, 5 at once; 0.0 used\n")
    with Streamer.start(
        Settings.load(), transport=MemoryTransport(), load_handlers=False
    ) as another:
        assert sent(another, "ann"), "a process that was not refused just now"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["reset"], "say whose"),
        (["reset", "--user", "ann", "--limit", "messages"], "messages: tenant, user"),
        (["show", "--limit", "massages"], "there is no such limit; known: messages, all"),
    ],
)
def test_what_it_cannot_do(app: Streamer, words: list[str], says: str) -> None:
    code, said = run(*words)
    assert code != 0
    assert says in said
