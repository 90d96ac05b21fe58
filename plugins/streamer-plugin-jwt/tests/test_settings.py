"""What stops the start, and in which words; and what a start does not load."""

import json
import subprocess
import sys
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from streamer_plugin_jwt.places import is_allowed
from streamer_plugin_jwt.settings import JwtSettings
from streamer_plugin_jwt.testing import key_of

from streamer_core.errors import ConfigurationError

OpenDoor = Callable[..., Any]
URL = {"issuer": "https://me", "audience": ["app"]}


def test_without_a_key_there_is_no_start(door: OpenDoor) -> None:
    """It says what to write, and how to do without."""
    with pytest.raises(ConfigurationError) as caught:
        door(issuers={})
    said = str(caught.value)
    for part in ("issuer =", "audience =", "keys =", "[plugins.jwt]", "[streamer] plugins"):
        assert part in said


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"issuers": {"a": {"audience": ["x"]}}}, "issuers.a: whose tokens are good"),
        ({"issuer": "https://me"}, "audience: must be set"),
        ({"issuer": "me", "audience": ["x"]}, "issuer: must begin with https://"),
        ({"issuer": "http://me.example", "audience": ["x"]}, "issuer: must begin with https://"),
        ({"issuer": "https://u:p@me", "audience": ["x"]}, "issuer: must begin with https://"),
        ({"issuer": "https://me:x", "audience": ["x"]}, "issuer: must begin with https://"),
        ({"issuer": "file:///etc", "audience": ["x"]}, "issuer: must begin with https://"),
        ({**URL, "jwks": "http://10.0.0.1/k"}, "jwks: must begin with https://"),
        ({"jwks": "https://me/k", "audience": ["x"]}, "issuer: must be set where jwks is"),
        ({**URL, "jwks": "https://me/k", "keys": ["env:X"]}, "keys: there is jwks too"),
        ({"keys": ["literal-secret"]}, "keys: number 1 is no place; write env:NAME"),
        ({"keys": ["kid=literal-secret"]}, "keys: number 1 is no place"),
        ({"keys": ["env:JWT_SECRET", "ssm: "]}, "keys: number 2 is no place"),
        ({"keys": ["file:/dev/zero"]}, "/dev/zero: too large for a key"),
        ({"keys": ["env:NOT_THERE"]}, "the environment has no NOT_THERE"),
        ({"keys": ["env:SHORT"]}, "env:SHORT: a secret must have at least 32 bytes"),
        ({"keys": ["file:nowhere.pem"]}, "nowhere.pem: No such file"),
        ({"keys": ["env:CERTIFICATE"]}, "write the key itself in PEM"),
        ({"keys": "env:JWT_SECRET"}, "keys: write a list"),
        ({"keys": ["env:JWT_SECRET"], "algorithms": ["none"]}, "algorithms: 'none' is none of"),
        ({"keys": ["env:JWT_SECRET"], "token_use": ["refresh"]}, "token_use: must be of"),
        ({"keys": ["env:JWT_SECRET"], "user": ""}, "user, tenant: must name claims"),
        ({"keys": ["env:JWT_SECRET"], "issuer": ""}, "issuer: must not be empty"),
        ({**URL, "jwks": ""}, "jwks: must not be empty"),
        ({**URL, "audience": [""]}, "audience: one of them is empty"),
        ({**URL, "scopes": ["scope", ""]}, "scopes: one of them is empty"),
        ({**URL, "require": [""]}, "require: one of them is empty"),
        ({**URL, "timeout": "11s"}, "timeout: must be more than nothing"),
        ({**URL, "timeout": 0}, "timeout: must be more than nothing"),
        ({**URL, "leeway": "11m"}, "leeway: must be at most 10 minutes"),
        ({**URL, "refresh": "59s"}, "refresh: must be at least a minute"),
        ({**URL, "stale": "30m"}, "refresh: must be at least a minute, and no longer than stale"),
        ({**URL, "longest_life": 0}, "longest_life: must be more than nothing"),
        ({**URL, "isuer": "x"}, "did you mean 'issuer'"),
        ({**URL, "issuers": {"b": URL}}, "issuer: two have the same"),
        ({"keys": ["env:JWT_SECRET"], "issuers": {"jwt": URL}}, "issuers.jwt: so is named that of"),
        ({"issuers": {"b": {**URL, "isuer": "x"}}}, "isuer: there is no such setting"),
    ],
)
def test_bad_settings(
    door: OpenDoor, monkeypatch: pytest.MonkeyPatch, section: dict[str, Any], said: str
) -> None:
    monkeypatch.setenv("SHORT", "too-short-a-secret")
    monkeypatch.setenv("CERTIFICATE", "-----BEGIN CERTIFICATE-----\nMIIB\n")
    with pytest.raises(ConfigurationError) as caught:
        door(**section)
    assert said in str(caught.value)
    for secret in ("literal-secret", "too-short-a-secret", "MIIB"):
        assert secret not in str(caught.value)


PEM = key_of("ES256").public_pem
SECRET = "of thirty-two characters, or more"
JWKS = f'{{"keys": [{{"kty": "oct", "k": "a"}}, {json.dumps(key_of("ES256").jwk())}]}}'


@pytest.mark.parametrize(
    ("key", "algorithms", "starts"),
    [
        (SECRET, ["RS256", "ES256"], False),
        (SECRET, ["RS256", "HS256"], True),
        (PEM, ["HS256"], False),
        (PEM, ["ES256"], True),
        (JWKS, ["HS256"], True),
        (JWKS, ["ES256"], True),
        (json.dumps(key_of("ES256").jwk()), ["HS512"], False),
    ],
)
def test_algorithms_that_no_key_is_for_stop_the_start(
    door: OpenDoor, monkeypatch: pytest.MonkeyPatch, key: str, algorithms: list[str], starts: bool
) -> None:
    monkeypatch.setenv("KEY", key)
    said = "none of .* is for one of the keys"
    with nullcontext() if starts else pytest.raises(ConfigurationError, match=said):
        door(keys=["env:KEY"], algorithms=algorithms)


BROKEN = {
    "cut off": PEM[:-60],
    "a line lost": "".join(PEM.splitlines(keepends=True)[:1] + PEM.splitlines(keepends=True)[2:]),
    "without its lines": PEM.replace("\n", "\\n"),
    "with something else in it": PEM.replace("M", "-", 1),
    "encrypted": key_of("ES256").private_pem.replace("PRIVATE", "ENCRYPTED PRIVATE"),
    "of another kind": PEM.replace("PUBLIC", "DSA PUBLIC"),
    "no JSON": "{",
    "no key": "{}",
    "no key of a known kind": '{"kty": "ROT13", "k": "a"}',
    "half a key": '{"kty": "RSA", "e": "AQAB"}',
    "no set": '{"keys": 3}',
    "an empty set": '{"keys": []}',
    "a set of nothing": '{"keys": [1, {"kty": ["RSA"]}]}',
    "deep": '{"keys": ' + "[" * 100_000,
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_seen_to_be_no_key_stops_the_start(
    door: OpenDoor, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setenv("BROKEN", f"  {BROKEN[what]}\n")
    with pytest.raises(ConfigurationError, match=r"keys: env:BROKEN: write ") as caught:
        door(keys=["env:BROKEN"])
    assert PEM.splitlines()[1][:20] not in str(caught.value)


@pytest.mark.parametrize(
    "pem",
    [
        "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----",
        '{"kty": "RSA", "n": "AQ", "e": "AQAB"}',
        '{"keys": [{"kty": "RSA", "n": 3, "e": 5}]}',
    ],
)
def test_a_key_that_cannot_be_read_lets_nobody_in(door: OpenDoor, logs: Any, pem: str) -> None:
    opened = door(keys=[pem])
    assert opened.refusal(opened.sign()).http_status == 503
    assert logs[-1]["event"] == "keys cannot be read"
    (found,) = [one for one in opened.app.health() if one.name == "jwt"]
    assert not found.ok


def _certificate() -> str:
    private = key_of("ES256").private
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "me")])
    begins, ends = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(name, name, private.public_key(), 1, begins, ends)
    return made.sign(private, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def _in_ssh() -> str:
    public = key_of("EdDSA").private.public_key()
    return str(public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode())


def _der(made: bytes) -> str:
    return b64encode(made).decode()


def _bytes(kind: str) -> bytes:
    return b64decode(key_of(kind).public_pem.split("-----")[2])


def _jwk() -> str:
    return json.dumps(key_of("RS256").jwk())


IN_OTHER_FORMS: dict[str, Callable[[], str]] = {
    "without the lines of PEM": lambda: key_of("RS256").public_pem.split("-----")[2],
    "a certificate without them": lambda: _certificate().split("-----")[2],
    "a private key without them": lambda: key_of("ES256").private_pem.split("-----")[2],
    "a short one in one line": lambda: "".join(key_of("EdDSA").public_pem.splitlines()[1:-1]),
    "of PKCS 1": lambda: _der(
        key_of("RS256").private.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    ),
    "with words before it": lambda: f"Bag Attributes\n{key_of('ES256').public_pem}",
    "PEM in base64": lambda: _der(key_of("ES256").public_pem.encode()),
    "for SSH": lambda: f"{_in_ssh()} me",
    "for SSH, without a word": lambda: _in_ssh().split()[1],
    "of who may log in": lambda: f"restrict,pty {_in_ssh()} me",
    "of RFC 4716": lambda: f"---- BEGIN SSH2 PUBLIC KEY ----\n{_in_ssh().split()[1]}",
    "for SSH, and broken": lambda: "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItb",
    "in the alphabet of addresses": lambda: urlsafe_b64encode(_bytes("RS256")).decode(),
    "without what base64 ends with": lambda: _der(_bytes("ES256")).rstrip("="),
    "in hex": lambda: _bytes("ES256").hex(),
    "in hex with colons": lambda: _bytes("RS256").hex(":").upper(),
    "a JWK in a list": lambda: f"[{_jwk()}]",
    "a JWK in quotes": lambda: json.dumps(_jwk()),
    "a JWK behind a mark of byte order": lambda: f"\ufeff{_jwk()}",
    "a JWK as YAML": lambda: "\n".join(f"{n}: {v}" for n, v in key_of("RS256").jwk().items()),
    "a JWK in base64": lambda: _der(_jwk().encode()),
    "the address of a key set": lambda: "https://issuer.example/.well-known/jwks.json",
    "the place of a key": lambda: "file:/run/secrets/the-public-key-of-it.pem",
}


@pytest.mark.parametrize("what", IN_OTHER_FORMS)
def test_a_key_in_another_form_stops_the_start(
    door: OpenDoor, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """As a secret it would let in whoever knows it, and nobody else."""
    text = IN_OTHER_FORMS[what]()
    monkeypatch.setenv("OTHER", f" {text}\n")
    says = r"env:OTHER: write the key in PEM, .* or as a JWK"
    with pytest.raises(ConfigurationError, match=says) as caught:
        door(keys=["env:OTHER"])
    assert text[-20:] not in str(caught.value)


@pytest.mark.parametrize(
    "secret",
    [
        "ssh-gateway: of 32 bytes or more, as must be",
        _der(b"\x30\x1e" + bytes(range(30))),
        _der(b"\x30\x1f\x30" + bytes(range(29))),
        "MIIB" * 11,
    ],
)
def test_a_secret_may_be_any_text(
    door: OpenDoor, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    """Base64 or not, and whatever it begins with."""
    monkeypatch.setenv("SECRET", secret)
    opened = door(keys=["env:SECRET"])
    assert opened.lets_in(opened.sign(secret))


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("https://keys.example/k", True),
        ("HTTPS://keys.example", True),
        ("http://127.0.0.1:8000/k", True),
        ("http://[::1]/k", True),
        ("http://localhost/k", True),
        ("http://keys.example", False),
        ("http://localhost.example", False),
        ("http://127.0.0.1.example", False),
        ("http://127.0.0.1@keys.example", False),
        ("http://2130706433", False),
        ("http://10.0.0.1", False),
        ("https://", False),
        ("https://keys.example#k", False),
        ("https://[", False),
        ("ftp://127.0.0.1", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_addresses_of_keys(address: str, allowed: bool) -> None:
    assert is_allowed(address) == allowed


def test_keys_are_in_no_repr() -> None:
    made = JwtSettings(keys=(key_of("ES256").private_pem,))
    assert "PRIVATE" not in f"{made!r} {made.all_issuers!r}"


LOADED = """
import sys
from streamer_core import Settings, Streamer
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport
before = set(sys.modules)
clock = ManualClock()
app = Streamer.start(
    Settings.of({"plugins": ["jwt"]}, {"jwt": {"issuer": "https://me", "audience": ["app"]}}),
    store=MemoryStore(clock), transport=MemoryTransport(), clock=clock, load_handlers=False,
)
costly = {"jwt", "cryptography", "botocore", "pydantic", "urllib.request", "ssl", "click"}
print(sorted(costly & (set(sys.modules) - before)))
"""


def test_a_start_loads_nothing_costly(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
