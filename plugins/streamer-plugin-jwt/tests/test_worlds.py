"""The life of tokens over real sockets: behind the gateway's workers, and behind Lambda entries."""

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from streamer_plugin_jwt.testing import LoopbackIssuer, TestKey, key_of
from streamer_plugin_local.testing import (
    RunningGateway,
    Talk,
    eventually,
    running_gateway,
    write_project,
)
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streamer_core.cli.root import make_cli

HANDLERS = """
from streamer_core import Principal, handler

@handler("whoami")
def whoami(principal: Principal) -> dict:
    return {"user": principal.user, "tenant": principal.tenant}

@handler("read", scopes=["reports:read"])
def read() -> str:
    return "read"
"""
PLUGINS = ["local", "sqlite", "jwt", "apigateway"]


class Stage:
    """A gateway, an issuer, and what was shown of secrets."""

    def __init__(self, gateway: RunningGateway, issuer: LoopbackIssuer, folder: Path) -> None:
        self.gateway, self.issuer, self.folder = gateway, issuer, folder
        self.shown: list[str] = []

    def token(self, user: str = "ada", life_s: int = 600, **more: Any) -> str:
        """Have the issuer's last key sign a token."""
        now = int(time.time())
        key: TestKey = more.pop("key", self.issuer.keys[-1])
        claims = {"iss": self.issuer.url, "aud": "app", "sub": user, "org": "acme"}
        times = {"iat": now, "exp": now + life_s}
        self.shown.append(key.sign({**claims, **times, **more}))
        return self.shown[-1]

    def talk(self, token: str | None) -> Talk:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return Talk(self.gateway.url, additional_headers=headers)

    def status(self, token: str | None) -> int:
        with pytest.raises(InvalidStatus) as caught, self.talk(token):
            pass
        return caught.value.response.status_code

    def command(self, *arguments: str) -> str:
        done = CliRunner().invoke(make_cli(), ["--config", str(self.folder), *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout


@pytest.fixture
def stage(world: dict[str, Any], issuer: LoopbackIssuer, tmp_path: Path) -> Any:
    issuer.keys[:] = [key_of("RS256", "k-1")]
    section = {
        "issuer": issuer.url,
        "audience": ["app"],
        "tenant": "org",
        "revocation_cache": "200ms",
        "timeout": "10s",
    }
    folder = write_project(
        tmp_path / "project",
        HANDLERS,
        core={"plugins": PLUGINS},
        plugins={"jwt": section},
        sweep_interval="500ms",
        sync_workers=1,
        async_workers=1,
        **world,
    )
    with running_gateway(folder) as gateway:
        yield Stage(gateway, issuer, folder)


def test_the_life_of_tokens(stage: Stage) -> None:
    _who_is_let_in(stage)
    _what_ends_with_its_token(stage)
    _what_is_renewed(stage)
    _what_is_revoked(stage)
    _how_it_is(stage)
    assert stage.gateway.stop() == 0
    _nothing_shows(stage)


def _who_is_let_in(stage: Stage) -> None:
    assert stage.status(None) == 401
    assert stage.status(stage.token(aud="another")) == 401
    assert stage.status(stage.token(key=key_of("RS256", "k-9"))) == 401
    with stage.talk(stage.token()) as talk:
        assert talk.ask("whoami")["data"] == {"user": "ada", "tenant": "acme"}
        assert talk.ask("read")["error"]["code"] == "FORBIDDEN"
    with stage.talk(stage.token(scope="x reports:read")) as talk:
        assert talk.ask("read")["data"] == "read"


def _what_ends_with_its_token(stage: Stage) -> None:
    with stage.talk(stage.token(life_s=2)) as talk:
        assert talk.ask("whoami")["success"]
        _is_closed(talk, "expired")


def _what_is_renewed(stage: Stage) -> None:
    with stage.talk(stage.token(life_s=2)) as talk:
        began = time.time()
        assert talk.ask("streamer.authenticate", {"token": "eyJ.a.b"})["error"]["code"] == (
            "UNAUTHORIZED"
        )
        other = stage.token(user="bob")
        assert talk.ask("streamer.authenticate", {"token": other})["error"]["code"] == "FORBIDDEN"
        renewing = {"token": stage.token(scope="reports:read")}
        assert talk.ask("streamer.authenticate", renewing)["success"]
        with pytest.raises(TimeoutError):
            talk.ws.recv(began + 2.5 - time.time())
        assert talk.ask("read")["data"] == "read"


def _what_is_revoked(stage: Stage) -> None:
    first, second = stage.token(jti="t-1"), stage.token(jti="t-2")
    with stage.talk(first) as silent, stage.talk(second) as other:
        said = stage.command("jwt", "revoke", "--tenant", "acme", "--user", "ada", "--id", "t-1")
        assert said == "revoked: the token t-1 of ada (tenant acme)\n"
        assert stage.status(first) == 401
        _is_closed(silent, "revoked")
        assert other.ask("whoami")["success"]
        stage.command("jwt", "revoke", "--tenant", "acme", "--user", "ada")
        _is_closed(other, "revoked")
    with stage.talk(stage.token(user="bob")) as bob:
        assert bob.ask("whoami")["success"]
    assert len(stage.command("jwt", "revoked").splitlines()) == 2


def _is_closed(talk: Talk, reason: str) -> None:
    goodbye = talk.until(lambda message: message["type"] == "goodbye")
    assert goodbye["reason"] == reason
    with pytest.raises(ConnectionClosed):
        talk.get()


def _how_it_is(stage: Stage) -> None:
    asked = urllib.request.Request(
        f"{stage.gateway.http}/health",
        headers={"Authorization": f"Bearer {stage.gateway.secret}"},
    )

    def found() -> str:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return str(json.loads(answer.read()))

    eventually(lambda: "jwt: 1 fetched" in found(), "a look at the keys")
    assert "jwt: 1 fetched" in stage.command("jwt", "keys")


def _nothing_shows(stage: Stage) -> None:
    assert "token refused" in stage.gateway.log()
    signatures = [token.rpartition(".")[2] for token in stage.shown]
    for file in filter(Path.is_file, stage.folder.rglob("*")):
        data = file.read_bytes()
        assert not any(signature.encode() in data for signature in signatures), file
