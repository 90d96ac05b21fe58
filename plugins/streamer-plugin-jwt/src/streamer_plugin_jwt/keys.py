"""Keys: read from PEM, JWK, a key set or a secret's text, each with the algorithms it is for.

Imported with the first token: PyJWT and cryptography take longer than all the rest of a start.
"""

import json
from dataclasses import field
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from streamer_core.records import record
from streamer_plugin_jwt import algorithms
from streamer_plugin_jwt.sight import IN_ANOTHER_FORM, is_in_another_form

MOST_KEYS = 100
_LEAST_RSA_BITS, _MOST_RSA_BITS = 2048, 8192
"""RFC 7518, 3.3; longer ones take too long to check."""


class BadKey(Exception):
    """It is no key that tokens may be checked with; its text says why, and nothing of the key."""


@record
class Key:
    """A key that tokens are checked with.

    Args:
        kid: its id, where it has one.
        algorithms: what it may be used for.
        public: what PyJWT checks with: a public key, or a secret's bytes.
        private: what it signs with, where that is there too.
    """

    kid: str | None
    algorithms: tuple[str, ...]
    public: Any = field(repr=False)
    private: Any = field(default=None, repr=False)


def read(text: str, kid: str | None = None) -> tuple[Key, ...]:
    """Read what a place holds: PEM, JWK, a key set, or a secret.

    Raises:
        BadKey: it is none of them, or not good enough.
    """
    text = text.strip()
    if text.startswith("-----BEGIN "):
        return (_of_pem(text, kid),)
    if text.startswith("{"):
        return _of_json(text, kid)
    if is_in_another_form(text):
        raise BadKey(IN_ANOTHER_FORM)
    return (_of_secret(text.encode(), kid),)


def _of_json(text: str, kid: str | None) -> tuple[Key, ...]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise BadKey("it begins as JSON, and is none") from None
    if isinstance(found, dict) and "keys" in found:
        return read_set(found, secrets=True)
    return (read_jwk(found, kid),)


def read_set(found: Any, *, secrets: bool = False) -> tuple[Key, ...]:
    """Read a key set, leaving out keys that are not for checking tokens or cannot be read.

    Args:
        found: as decoded.
        secrets: whether symmetric keys are taken: not from what everybody can read.

    Raises:
        BadKey: it is no key set, or no key of it is left.
    """
    those = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(those, list) or len(those) > MOST_KEYS:
        raise BadKey(f"it is no set of at most {MOST_KEYS} keys")
    keys: list[Key] = []
    for one in those:
        try:
            key = read_jwk(one)
        except BadKey:
            continue  # RFC 7517, 5: those that are not understood are ignored
        if secrets or not isinstance(key.public, bytes):
            keys.append(key)
    if not keys:
        raise BadKey("no key of it can check tokens")
    return tuple(keys)


def read_jwk(one: Any, kid: str | None = None) -> Key:
    """Read a JWK.

    Raises:
        BadKey: it is none, or not good enough, or not for checking tokens.
    """
    if not isinstance(one, dict):
        raise BadKey("it is no JWK")
    if one.get("use", "sig") != "sig" or not _verifies(one.get("key_ops")):
        raise BadKey("it is not for signatures")
    own = one.get("kid")
    if not isinstance(own, str | None):
        raise BadKey("its kid is no text")
    key = _of_oct(one) if one.get("kty") == "oct" else _of_asymmetric(one)
    wanted = one.get("alg")
    allowed = tuple(name for name in key.algorithms if wanted is None or wanted == name)
    if not allowed:
        raise BadKey("its alg does not fit its type")
    return Key(kid=kid or own, algorithms=allowed, public=key.public, private=key.private)


def _verifies(operations: Any) -> bool:
    return operations is None or (
        isinstance(operations, list) and ("verify" in operations or "sign" in operations)
    )


def _of_oct(one: dict[str, Any]) -> Key:
    try:
        secret = PyJWK({**one, "alg": "HS256"}).key
    except Exception:  # noqa: BLE001 - whatever is wrong with it
        raise BadKey("it cannot be read") from None
    return _of_secret(secret, None)


def _of_secret(secret: bytes, kid: str | None) -> Key:
    allowed = algorithms.of_secret(len(secret))
    if not allowed:
        raise BadKey("a secret must have at least 32 bytes")
    return Key(kid=kid, algorithms=allowed, public=secret, private=secret)


_READERS: dict[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}


def _of_asymmetric(one: dict[str, Any]) -> Key:
    reader = _READERS.get(str(one.get("kty")))
    if reader is None:
        raise BadKey("its kty is none of RSA, EC, OKP and oct")
    try:
        return _of_object(reader.from_jwk(one), None)
    except BadKey:
        raise
    except Exception:  # noqa: BLE001 - whatever is wrong with it
        raise BadKey("it cannot be read") from None


def _of_pem(text: str, kid: str | None) -> Key:
    data = text.encode()
    try:
        made: Any = (
            serialization.load_pem_private_key(data, None)
            if "PRIVATE KEY-----" in text
            else serialization.load_pem_public_key(data)
        )
    except Exception:  # noqa: BLE001 - whatever is wrong with it
        raise BadKey("its PEM cannot be read: write a public key, or an open private one") from None
    return _of_object(made, kid)


def _of_object(made: Any, kid: str | None) -> Key:
    private = made if hasattr(made, "private_bytes") else None
    public = made.public_key() if private else made
    return Key(kid=kid, algorithms=_algorithms_of(public), public=public, private=private)


def _algorithms_of(public: Any) -> tuple[str, ...]:
    allowed: tuple[str, ...] = ()
    if isinstance(public, rsa.RSAPublicKey):
        if not _LEAST_RSA_BITS <= public.key_size <= _MOST_RSA_BITS:
            raise BadKey(f"an RSA key must have {_LEAST_RSA_BITS} to {_MOST_RSA_BITS} bits")
        allowed = algorithms.RSA
    elif isinstance(public, ec.EllipticCurvePublicKey):
        name = algorithms.CURVES.get(public.curve.name)
        allowed = (name,) if name else ()
    elif isinstance(public, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        allowed = ("EdDSA",)
    if not allowed:
        raise BadKey("no algorithm for tokens has keys of its type")
    return allowed
