"""Whom a token lets in, and as whom."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from streamer_plugin_jwt.keys import read
from streamer_plugin_jwt.testing import key_of

from streamer_core.errors import Unauthorized

OpenDoor = Callable[..., Any]
RSA = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]


def test_a_token_says_who_it_is(door: OpenDoor) -> None:
    opened = door(keys=["env:JWT_SECRET"], tenant="org")
    principal = opened.let_in(opened.sign(scope="a b", scp=["c"], org="acme", role="x"))
    assert (principal.user, principal.tenant) == ("ada", "acme")
    assert principal.scopes == {"a", "b", "c"}
    assert principal.expires_at == opened.clock.now() + 3_600_000
    assert (principal.token_id, principal.issued_at) == ("t-1", opened.clock.now())
    assert principal.claims["role"] == "x"


def test_which_claims_are_read_is_a_setting(door: OpenDoor) -> None:
    opened = door(
        keys=["env:JWT_SECRET"],
        user="https://example.com/name",
        tenant="custom:org",
        scopes=["permissions"],
    )
    token = opened.sign(
        **{"https://example.com/name": "bob", "custom:org": "acme", "permissions": ["r", 3, ""]},
        scope="not this",
    )
    principal = opened.let_in(token)
    assert (principal.user, principal.tenant, principal.scopes) == ("bob", "acme", {"r"})


# -- keys and their algorithms


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_secrets(door: OpenDoor, algorithm: str) -> None:
    opened = door()
    assert opened.lets_in(opened.sign(algorithm=algorithm))
    assert not opened.lets_in(opened.sign("another" * 10, algorithm=algorithm))


@pytest.mark.parametrize(
    ("length", "names"),
    [(32, ["HS256"]), (47, ["HS256"]), (48, ["HS256", "HS384"]), (64, ["HS256", "HS384", "HS512"])],
)
def test_a_secret_is_for_what_it_is_long_enough_for(length: int, names: list[str]) -> None:
    (key,) = read("s" * length)
    assert list(key.algorithms) == names


@pytest.mark.parametrize("form", ["public_pem", "private_pem", "jwk"])
@pytest.mark.parametrize("kind", ["RS256", "ES256", "ES384", "ES512", "EdDSA", "Ed448"])
def test_key_pairs(door: OpenDoor, tmp_path: Path, kind: str, form: str) -> None:
    key = key_of(kind)
    found = json.dumps(key.jwk()) if form == "jwk" else getattr(key, form)
    (tmp_path / "key").write_text(found)
    opened = door(keys=[f"file:{tmp_path / 'key'}"])
    for algorithm in RSA if kind == "RS256" else [key.algorithm]:
        assert opened.lets_in(opened.sign(key.private, algorithm)), algorithm
    assert not opened.lets_in(opened.sign(key_of(kind, "other").private, key.algorithm))


def test_a_public_key_may_stand_in_the_settings(door: OpenDoor) -> None:
    pem, jwk = key_of("ES256"), key_of("EdDSA", "second")
    opened = door(keys=[pem.public_pem, json.dumps(jwk.jwk())])
    assert opened.lets_in(pem.sign(opened.claims()))
    assert opened.lets_in(jwk.sign(opened.claims()))


def test_a_symmetric_jwk(door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = urlsafe_b64encode(b"s" * 48).decode().rstrip("=")
    jwk = {"kty": "oct", "k": secret, "kid": "one", "alg": "HS384"}
    monkeypatch.setenv("JWT_KEYS", json.dumps({"keys": [jwk]}))
    opened = door(keys=["env:JWT_KEYS"])
    assert opened.lets_in(opened.sign(b"s" * 48, "HS384", {"kid": "one"}))
    assert not opened.lets_in(opened.sign(b"s" * 48, "HS256", {"kid": "one"}))


def test_algorithms_may_be_fewer(door: OpenDoor) -> None:
    key = key_of("RS256")
    opened = door(keys=[key.public_pem], algorithms=["PS256"])
    assert opened.lets_in(opened.sign(key.private, "PS256"))
    assert not opened.lets_in(opened.sign(key.private, "RS256"))


def test_two_keys_side_by_side(door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rotate: add the new key, have the issuer use it, take the old one out."""
    old, new = "old" * 20, "new" * 20
    monkeypatch.setenv("OLD", old)
    monkeypatch.setenv("NEW", new)
    opened = door(keys=["2026=env:OLD", "2027=env:NEW"])
    assert opened.lets_in(opened.sign(old, headers={"kid": "2026"}))
    assert opened.lets_in(opened.sign(new, headers={"kid": "2027"}))
    assert opened.lets_in(opened.sign(new)), "without a kid all are tried"
    assert not opened.lets_in(opened.sign(new, headers={"kid": "2026"}))
    assert not opened.lets_in(opened.sign(new, headers={"kid": "2028"}))
    only_new = door(opened, keys=["2027=env:NEW"])
    assert not only_new.lets_in(opened.sign(old, headers={"kid": "2026"}))
    assert only_new.lets_in(opened.sign(new, headers={"kid": "2027"}))


def test_so_many_keys_without_a_kid_are_tried(
    door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes its time, whoever knocks."""
    secrets = [f"{n:02}" * 20 for n in range(11)]
    for n, secret in enumerate(secrets):
        monkeypatch.setenv(f"KEY_{n}", secret)
    opened = door(keys=[f"env:KEY_{n}" for n in range(11)])
    assert [opened.lets_in(opened.sign(one)) for one in secrets] == [True] * 10 + [False]


def test_a_key_without_a_kid_serves_all(door: OpenDoor) -> None:
    opened = door()
    assert opened.lets_in(opened.sign(headers={"kid": "whatever"}))


def test_several_issuers(door: OpenDoor) -> None:
    one, two = key_of("ES256"), key_of("EdDSA")
    opened = door(
        keys=["env:JWT_SECRET"],
        issuers={
            "one": {"issuer": "https://one", "keys": [one.public_pem], "audience": ["app"]},
            "two": {"issuer": "https://two", "keys": [two.public_pem], "user": "email"},
        },
    )
    to_one = opened.claims(iss="https://one", aud="app")
    to_two = opened.claims(iss="https://two", email="bob@two")
    assert opened.let_in(one.sign(to_one)).user == "ada"
    assert opened.let_in(two.sign(to_two)).user == "bob@two"
    assert opened.lets_in(opened.sign()), "one that names no issuer"
    assert not opened.lets_in(two.sign(to_one)), "another's key"
    assert not opened.lets_in(one.sign(to_two))


# -- claims


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a\nb"},
        {"sub": "x" * 257},
        {"exp": None},
        {"exp": "2030"},
        {"exp": True},
        {"exp": -1},
        {"exp": [1]},
        {"iat": "now"},
        {"nbf": {}},
        {"nbf": True},
        {"jti": 5},
        {"aud": "somebody-else"},
        {"aud": ["a", "b"]},
    ],
)
def test_claims_that_let_nobody_in(door: OpenDoor, claims: dict[str, Any]) -> None:
    opened = door()
    assert not opened.lets_in(opened.sign_raw(opened.claims(**claims)))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "9" * 400, "9" * 5000])
def test_times_that_are_none(door: OpenDoor, number: str) -> None:
    opened = door()
    assert not opened.lets_in(opened.sign_text('{"sub":"ada","exp":' + number + "}"))


def test_times_have_a_leeway(door: OpenDoor) -> None:
    opened = door(keys=["env:JWT_SECRET"], leeway="10s")
    now = opened.clock.now() // 1000
    for name, step in (("iat", 1), ("nbf", 1), ("exp", -1)):
        assert opened.lets_in(opened.sign(**{name: now + 9 * step})), name
        assert not opened.lets_in(opened.sign(**{name: now + 11 * step})), name
    assert not opened.lets_in(opened.sign(exp=now - 10))


def test_what_the_leeway_let_in_ends_with_it(door: OpenDoor) -> None:
    opened = door(keys=["env:JWT_SECRET"], leeway="10s")
    now = opened.clock.now()
    assert opened.let_in(opened.sign(exp=now // 1000 + 3)).expires_at == now + 3_000
    assert opened.let_in(opened.sign(exp=now // 1000 - 3)).expires_at == now + 7_000


def test_a_life_longer_than_revocations_are_kept(door: OpenDoor) -> None:
    opened = door(keys=["env:JWT_SECRET"], longest_life="1d")
    now = opened.clock.now() // 1000
    assert opened.lets_in(opened.sign(exp=now + 86_400))
    assert not opened.lets_in(opened.sign(exp=now + 86_401))
    assert not opened.lets_in(opened.sign(iat=now - 86_400, exp=now + 1)), "counted as issued"
    assert not opened.lets_in(opened.sign(iat=None, exp=now + 86_401))


def test_the_audience(door: OpenDoor) -> None:
    opened = door(keys=["env:JWT_SECRET"], audience=["app", "app-2"])
    assert opened.lets_in(opened.sign(aud="app"))
    assert opened.lets_in(opened.sign(aud=["other", "app-2"]))
    for aud in (None, "other", [], ["other"], {"app": 1}, [["app"]], 3):
        assert not opened.lets_in(opened.sign_raw(opened.claims(aud=aud))), aud


def test_the_issuer(door: OpenDoor) -> None:
    opened = door(keys=["env:JWT_SECRET"], issuer="me")
    assert opened.lets_in(opened.sign(iss="me"))
    for iss in (None, "you", ["me"], "me/"):
        assert not opened.lets_in(opened.sign_raw(opened.claims(iss=iss))), iss


def test_claims_that_are_required(door: OpenDoor) -> None:
    opened = door(keys=["env:JWT_SECRET"], require=["email", "iat"])
    assert opened.lets_in(opened.sign(email="a@b"))
    assert not opened.lets_in(opened.sign())
    assert not opened.lets_in(opened.sign(email="a@b", iat=None))


def test_a_tenant_that_is_read_must_be_there(door: OpenDoor) -> None:
    opened = door(keys=["env:JWT_SECRET"], tenant="org")
    for org in (None, "", 3, ["acme"]):
        assert not opened.lets_in(opened.sign(org=org))


# -- Amazon Cognito

POOL = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab12Cd34E"


def test_cognitos_tokens(door: OpenDoor) -> None:
    """Claims as the developer guide shows them for both kinds."""
    key = key_of("RS256")
    section = {"keys": [key.public_pem], "issuer": POOL, "audience": ["client-1"]}
    opened = door(**section, cognito=True, user="username", scopes=["scope"])
    access = opened.claims(
        iss=POOL,
        client_id="client-1",
        token_use="access",
        scope="openid app/read",
        username="ada",
        **{"cognito:groups": ["admins"]},
    )
    assert opened.let_in(key.sign(access)).scopes == {"openid", "app/read", "admins"}
    assert not opened.lets_in(key.sign({**access, "client_id": "client-2"}))
    assert not opened.lets_in(key.sign({**access, "client_id": None, "aud": "client-1"}))
    assert not opened.lets_in(key.sign({**access, "token_use": "refresh"}))
    assert not opened.lets_in(key.sign({**access, "token_use": ["access"]}))

    identity = opened.claims(iss=POOL, aud="client-1", token_use="id", username="ada")
    assert opened.lets_in(key.sign(identity))
    assert not opened.lets_in(key.sign({**identity, "aud": "client-2"}))
    only = door(**section, cognito=True, token_use=["access"])
    assert not only.lets_in(key.sign(identity))


# -- what is not ours


@pytest.mark.parametrize("token", [None, "", "key-1", "a.b", "eyJ", "a.b.c.d"])
def test_what_is_no_token_is_left_to_others(door: OpenDoor, token: str | None) -> None:
    opened = door()
    with pytest.raises(Unauthorized, match="A valid token is needed"):
        opened.let_in(token)


# -- scopes, renewal and the end of a token


def test_scopes_are_held_by_the_core(door: OpenDoor) -> None:
    opened = door()
    reader = opened.connect(opened.sign(scope="reports:read"))
    other = opened.connect(opened.sign(scope="reports"))
    assert opened.ask(reader, "read")[0]["data"] == {"user": "ada"}
    assert opened.ask(other, "read")[0]["error"]["code"] == "FORBIDDEN"
    assert opened.ask(other, "open")[0]["success"]
    (listed,) = opened.ask(other, "streamer.actions")
    assert [one["action"] for one in listed["data"]["actions"]] == ["open"]


def test_a_token_is_renewed_in_band(door: OpenDoor) -> None:
    opened = door()
    now = opened.clock.now() // 1000
    connection = opened.connect(opened.sign(exp=now + 10))
    new = {"token": opened.sign(exp=now + 100, jti="t-2")}
    (answer,) = opened.ask(connection, "streamer.authenticate", new)
    assert answer["data"] == {"expires_at": (now + 100) * 1000}
    kept = opened.store.get_connection(connection.id)
    assert kept.principal.token_id == "t-2"
    for bad in (opened.sign("x" * 40), opened.sign(exp=now - 10), "nonsense"):
        (answer,) = opened.ask(connection, "streamer.authenticate", {"token": bad})
        assert answer["error"]["code"] == "UNAUTHORIZED"
    (answer,) = opened.ask(connection, "streamer.authenticate", {"token": opened.sign(sub="bob")})
    assert answer["error"]["code"] == "FORBIDDEN"


def test_a_connection_ends_with_its_token(door: OpenDoor) -> None:
    opened = door()
    connection = opened.connect(opened.sign(exp=opened.clock.now() // 1000 + 10))
    opened.clock.advance_s(10)
    refusal, goodbye = opened.ask(connection, "open")
    assert refusal["error"]["code"] == "UNAUTHORIZED"
    assert goodbye["type"] == "goodbye"
    opened.app.sweep()
    assert opened.transport.inbox(connection.id)[-1]["reason"] == "expired"
    assert connection.id in opened.transport.closed


def test_pyjwt_reads_what_we_take(door: OpenDoor) -> None:
    """Our own reading of a token and PyJWT's are of the same text."""
    opened = door()
    token = opened.sign()
    assert jwt.decode(token, options={"verify_signature": False})["sub"] == "ada"
