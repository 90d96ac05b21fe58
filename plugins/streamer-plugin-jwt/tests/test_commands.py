"""`streamer token` and `streamer jwt`, on a project with the embedded store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner, Result
from streamer_plugin_jwt.testing import LoopbackIssuer, key_of
from streamer_plugin_local.testing import write_project

from streamer_core import Settings, Streamer
from streamer_core.cli.root import make_cli
from streamer_core.model.connection import Handshake
from streamer_core.ports.detached import Detached

SECRET = "a-secret-of-a-developer-who-reads-readmes"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Give a function that writes a project."""
    monkeypatch.setenv("JWT_SECRET", SECRET)

    def write(**section: Any) -> Path:
        core = {"plugins": ["local", "sqlite", "jwt"]}
        return write_project(tmp_path / "project", "", core=core, plugins={"jwt": section})

    return write


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(make_cli(), ["--config", str(folder), *arguments])


def principal_of(folder: Path, token: str) -> Any:
    with Streamer.start(Settings.load(folder), transport=Detached(), load_handlers=False) as app:
        return app.connect(Handshake(connection_id="c-1", token=token)).principal


def test_a_token_is_issued_and_lets_in(project: Callable[..., Path]) -> None:
    folder = project(keys=["env:JWT_SECRET"], tenant="org", audience=["app"], issuer="me")
    wanted = ("--user", "ada", "--tenant", "acme", "--scope", "reports:read", "--scope", "x")
    done = run(folder, "token", *wanted, "--life", "5m")
    assert done.exit_code == 0, done.output
    principal = principal_of(folder, done.stdout.strip())
    assert (principal.user, principal.tenant) == ("ada", "acme")
    assert principal.scopes == {"reports:read", "x"}
    assert principal.token_id
    assert principal.expires_at - principal.issued_at == 300_000


def test_a_private_key_signs(project: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(key_of("EdDSA").private_pem)
    folder = project(keys=[f"dev=file:{tmp_path / 'key.pem'}"], cognito=True, audience=["app"])
    token = run(folder, "token", "--user", "ada").stdout.strip()
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": "dev", "typ": "JWT"}
    assert principal_of(folder, token).user == "ada"


def test_each_of_several_issuers_signs(project: Callable[..., Path]) -> None:
    two = {"issuer": "https://two", "keys": ["env:JWT_SECRET"], "user": "email"}
    folder = project(keys=["env:JWT_SECRET"], issuers={"two": two})
    token = run(folder, "token", "--user", "ada", "--issuer", "two").stdout.strip()
    assert jwt.decode(token, options={"verify_signature": False})["email"] == "ada"
    assert principal_of(folder, token).user == "ada"
    done = run(folder, "token", "--user", "ada", "--issuer", "three")
    assert done.exit_code == 2
    assert "there is no issuer 'three'; there are: jwt, two" in done.stderr


def test_without_a_key_to_sign_with_there_is_no_token(
    project: Callable[..., Path], issuer: LoopbackIssuer
) -> None:
    for section in (
        {"issuer": issuer.url, "audience": ["app"]},
        {"keys": [key_of("ES256").public_pem]},
    ):
        done = run(project(**section), "token", "--user", "ada")
        assert (done.exit_code, done.stdout) == (2, "")
        assert "there is no key to sign with" in done.stderr
    assert issuer.asked == []


def test_a_tenant_that_nobody_reads(project: Callable[..., Path]) -> None:
    done = run(project(keys=["env:JWT_SECRET"]), "token", "--user", "ada", "--tenant", "acme")
    assert done.exit_code == 2
    assert "tenant names no claim" in done.stderr


@pytest.mark.parametrize(
    ("wanted", "section", "said"),
    [
        (["--life", "31d"], {}, "good for too long"),
        (["--life", "0s"], {"leeway": 0}, "expired"),
        (["--user", ""], {}, "sub is no short text"),
        ([], {"require": ["email"]}, "no email"),
    ],
)
def test_a_token_that_would_be_refused_is_not_issued(
    project: Callable[..., Path], wanted: list[str], section: dict[str, Any], said: str
) -> None:
    done = run(project(keys=["env:JWT_SECRET"], **section), "token", "--user", "ada", *wanted)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"nobody would be let in by this token: {said}" in done.stderr


@pytest.mark.parametrize("option", ["--user", "--tenant", "--id"])
@pytest.mark.parametrize("text", ["", "\x1b[2Jeve", "\udcff", "x" * 257])
def test_what_no_token_has_is_not_revoked(
    project: Callable[..., Path], option: str, text: str
) -> None:
    """An empty variable of a script, for one: it would revoke nothing, and say it had."""
    folder = project(keys=["env:JWT_SECRET"], tenant="org")
    wanted = {"--user": "ada", "--tenant": "acme", "--id": "t-1", option: text}
    done = run(folder, "jwt", "revoke", *[part for pair in wanted.items() for part in pair])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "\x1b" not in done.stderr
    assert run(folder, "jwt", "revoked").stdout == ""


def test_what_was_revoked_is_listed(project: Callable[..., Path]) -> None:
    folder = project(keys=["env:JWT_SECRET"])
    token = run(folder, "token", "--user", "ada").stdout.strip()
    token_id = principal_of(folder, token).token_id
    assert run(folder, "jwt", "revoke", "--user", "ada", "--id", token_id).exit_code == 0
    done = run(folder, "jwt", "revoke", "--user", "bob")
    assert done.stdout == "revoked: all tokens issued so far of bob (tenant default)\n"
    first, second = run(folder, "jwt", "revoked").stdout.splitlines()
    assert first.endswith(f"Z  default  ada  token {token_id}")
    assert second.endswith("Z  default  bob  all tokens issued before")
    with pytest.raises(Exception, match="The token is not good"):
        principal_of(folder, token)


@pytest.mark.parametrize(
    ("section", "arguments", "said"),
    [
        ({"tenant": "org"}, [], "Tokens name a tenant: give --tenant"),
        ({}, ["--tenant", "acme"], "[plugins.jwt] tenant names no claim"),
    ],
)
def test_what_would_revoke_nobodys_tokens_is_refused(
    project: Callable[..., Path], section: dict[str, Any], arguments: list[str], said: str
) -> None:
    folder = project(keys=["env:JWT_SECRET"], **section)
    done = run(folder, "jwt", "revoke", "--user", "ada", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert run(folder, "jwt", "revoked").stdout == ""


def test_keys_are_looked_at(project: Callable[..., Path], issuer: LoopbackIssuer) -> None:
    issuer.keys[:] = [key_of("ES256", "k-1")]
    folder = project(
        keys=["env:JWT_SECRET"],
        issuers={"two": {"issuer": issuer.url, "audience": ["app"]}},
    )
    done = run(folder, "jwt", "keys")
    assert (done.exit_code, done.stdout) == (0, "jwt: 1 fixed\ntwo: 1 fetched 0 s ago\n")
    issuer.answer = (500, b"")
    done = run(folder, "jwt", "keys")
    assert done.exit_code == 1
    assert "two: not fetched yet; it was answered with 500" in done.stdout


def test_an_unconfigured_plugin_hides_no_other_command(project: Callable[..., Path]) -> None:
    done = run(project(), "--help")
    assert done.exit_code == 0
    assert "Left out: " in done.stderr
    assert "whose tokens are good?" in done.stderr
    assert "dev" in done.stdout
