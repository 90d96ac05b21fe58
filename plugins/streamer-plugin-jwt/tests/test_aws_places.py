"""Keys in AWS Secrets Manager and SSM's Parameter Store, as moto has them."""

import json
import sys
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from botocore.session import get_session
from streamer_plugin_jwt.testing import key_of

from streamer_core.errors import Unavailable
from tests.conftest import Lines
from tests.emulators import free_port

OpenDoor = Callable[..., Any]
Put = Callable[..., str]


@pytest.fixture
def endpoint(aws: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> str:
    address = aws("moto")
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    return address


@pytest.fixture
def put(endpoint: str) -> Put:
    """Give a function that stores a text, and gives its place."""

    def store(kind: str, text: str, name: str | None = None) -> str:
        chosen = name or f"keys-{uuid4().hex[:8]}"
        client = get_session().create_client(kind, endpoint_url=endpoint)
        if kind == "ssm":
            more = {"Type": "SecureString", "Overwrite": True}
            client.put_parameter(Name=chosen, Value=text, **more)
        elif name:
            client.put_secret_value(SecretId=chosen, SecretString=text)
        else:
            client.create_secret(Name=chosen, SecretString=text)
        return f"{kind}:{chosen}"

    return store


@pytest.mark.parametrize("kind", ["secretsmanager", "ssm"])
def test_a_key_there(door: OpenDoor, put: Put, monkeypatch: Any, logs: Lines, kind: str) -> None:
    secret = uuid4().hex * 2
    place = put(kind, secret)
    opened = door(keys=[f"k-1={place}"], timeout="10s")
    token = opened.sign(secret, headers={"kid": "k-1"})
    assert opened.lets_in(token)
    assert not opened.lets_in(opened.sign())
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    logs.clear()
    opened.clock.advance_s(3600)
    assert opened.lets_in(opened.sign(secret, headers={"kid": "k-1"})), "the last good one serves"
    (found,) = [one for one in opened.app.health() if one.name == "jwt"]
    assert (found.ok, found.degraded) == (True, True)
    assert secret not in f"{logs} {found}"


def test_a_key_set_there_may_grow(door: OpenDoor, put: Put) -> None:
    one, two = key_of("ES256", "k-1"), key_of("EdDSA", "k-2")
    place = put("ssm", json.dumps({"keys": [one.jwk()]}))
    opened = door(keys=[place], timeout="10s")
    assert opened.lets_in(one.sign(opened.claims()))
    put("ssm", json.dumps({"keys": [one.jwk(), two.jwk()]}), place.partition(":")[2])
    opened.clock.advance_s(60)
    assert opened.lets_in(two.sign(opened.claims()))


@pytest.mark.parametrize("place", ["secretsmanager:nowhere", "ssm:nowhere"])
def test_a_key_that_is_not_there(door: OpenDoor, endpoint: str, logs: Lines, place: str) -> None:
    opened = door(keys=[place], timeout="10s")
    assert isinstance(opened.refusal(opened.sign()), Unavailable)
    assert place in logs[-1]["problem"]
    assert "NotFound" in logs[-1]["problem"]


def test_what_is_no_key(door: OpenDoor, put: Put, logs: Lines) -> None:
    opened = door(keys=[put("secretsmanager", "too short")], timeout="10s")
    assert isinstance(opened.refusal(opened.sign()), Unavailable)
    assert logs[-1]["problem"] == "a secret must have at least 32 bytes"


def test_a_public_key_there_is_no_secret(door: OpenDoor, put: Put, logs: Lines) -> None:
    """Whoever knows it, and everybody may, could sign with it."""
    public = key_of("RS256").public_pem.split("-----")[2].strip()
    opened = door(keys=[put("ssm", public)], timeout="10s")
    forged = opened.sign_text(json.dumps(opened.claims()), key=public.encode())
    assert isinstance(opened.refusal(forged), Unavailable)
    assert "write the key in PEM" in logs[-1]["problem"]


def test_without_botocore_it_says_what_to_install(
    door: OpenDoor, monkeypatch: pytest.MonkeyPatch, logs: Lines
) -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] == "botocore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "botocore", None)
    opened = door(keys=["ssm:x"])
    assert isinstance(opened.refusal(opened.sign()), Unavailable)
    assert "streamer-plugin-jwt[aws]" in logs[-1]["problem"]
