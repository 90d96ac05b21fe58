"""What can be seen of a key without reading it: that takes cryptography, and a start is short."""

import json
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from streamer_plugin_jwt.algorithms import HMAC_BYTES

_BEGINS_PEM = "-----BEGIN "
_PEM = re.compile(
    r"-----BEGIN ((?:(?:RSA|EC) )?(?:PUBLIC|PRIVATE) KEY)-----\s([A-Za-z0-9+/=\s]+)-----END \1-----"
)
_ELSEWHERE = re.compile(
    r"-{4} ?BEGIN |(?:^|\s)(?:sk-)?(?:ssh-(?:rsa|dss|ed\d+)|ecdsa-sha2-)|\bkty\b"
    r"|^(?:https?|file|env|secretsmanager|ssm|arn):"
)
"""PEM behind something else, RFC 4716's armour, a line of OpenSSH's, a JWK in a list, in quotes or
as YAML; and what says where a key is: an address, a place."""

_OPENSSH = re.compile(rb"\0\0\0.(?:sk-)?(?:ssh|ecdsa)-", re.DOTALL)
_TO_BASE64 = str.maketrans("-_", "+/", "=")

_MEMBERS = {"RSA": {"n", "e"}, "EC": {"crv", "x", "y"}, "OKP": {"crv", "x"}, "oct": {"k"}}
"""What a JWK of each type must have: RFC 7518, 6, and RFC 8037, 2."""

_LEAST = min(HMAC_BYTES.values())
_NO_PEM = (
    "write the key itself in PEM, as in -----BEGIN PUBLIC KEY-----, whole and with its lines; "
    "or an open private one"
)
_NO_JWK = "write a whole JWK, or a key set"
IN_ANOTHER_FORM = (
    "write the key in PEM, from its line -----BEGIN … on, or as a JWK: in this form it is not read "
    "and is no secret"
)


def problem_of(text: str) -> str | None:
    """Say why a text is no key at first sight, and nothing of the text; None: it may be one."""
    if text.startswith(_BEGINS_PEM):
        return None if _may_be_pem(text) else _NO_PEM
    if text.startswith("{"):
        return None if _may_be_jwk(text) else _NO_JWK
    if is_in_another_form(text):
        return IN_ANOTHER_FORM
    if len(text.encode()) < _LEAST:
        return f"a secret must have at least {_LEAST} bytes; `openssl rand -hex 32` makes one"
    return None


def is_in_another_form(text: str) -> bool:
    """Tell whether it is a key or certificate as others write it: who takes it for a secret lets in
    whoever knows a public key, and that may be everybody.

    In bare base64 or hex that is DER, what OpenSSH has in its lines, or PEM or a JWK encoded once
    more. One random secret in millions looks like it.
    """
    return bool(_ELSEWHERE.search(text)) or any(map(_is_key_in_bytes, _decoded(text)))


def may_serve(texts: Iterable[str], algorithms: Iterable[str]) -> bool:
    """Tell whether one of the keys may be used with one of the algorithms: secrets with HMAC, pairs
    with the others."""
    are_secrets = {one for text in texts for one in _are_secrets(text.strip())}
    return not are_secrets.isdisjoint(name in HMAC_BYTES for name in algorithms)


def _are_secrets(text: str) -> set[bool]:
    if text.startswith("{"):
        return {one.get("kty") == "oct" for one in _jwks(text)}
    return {not text.startswith(_BEGINS_PEM)}


def _decoded(text: str) -> Iterator[bytes]:
    """Give what it says in base64, of either alphabet and padded or not, and in hex."""
    text = "".join(text.split())
    with suppress(ValueError):
        digits = text.translate(_TO_BASE64)
        yield b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    with suppress(ValueError):
        yield bytes.fromhex(text.replace(":", ""))


def _is_key_in_bytes(data: bytes) -> bool:
    # In DER comes a SEQUENCE first, or a number: the version, or RSA's modulus.
    is_der = _is_whole(data) and data[_head(data) :][:1] in (b"\x30", b"\x02")
    is_jwk = data.startswith(b"{") and b'"kty"' in data
    is_pem = data.startswith(_BEGINS_PEM.encode())
    return is_der or is_jwk or is_pem or _OPENSSH.match(data) is not None


def _may_be_pem(text: str) -> bool:
    found = _PEM.match(text)
    if found is None:
        return False
    try:
        data = b64decode("".join(found[2].split()), validate=True)
    except ValueError:
        return False
    return _is_whole(data)


def _is_whole(data: bytes) -> bool:
    """Tell whether it is a SEQUENCE in DER that ends where its length says (X.690, 8.1.3)."""
    if len(data) < 2 or data[0] != 0x30:
        return False
    head = _head(data)
    length = int.from_bytes(data[2:head]) if head > 2 else data[1]
    return len(data) == head + length


def _head(data: bytes) -> int:
    """Give how many bytes its tag and its length take."""
    return 2 + (data[1] & 0x7F if data[1] & 0x80 else 0)


def _may_be_jwk(text: str) -> bool:
    return any(map(_has_members, _jwks(text)))


def _jwks(text: str) -> list[dict[str, Any]]:
    """Give the keys of a JWK or a set of them; none where it is neither."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    those = found.get("keys", [found])
    return [one for one in those if isinstance(one, dict)] if isinstance(those, list) else []


def _has_members(one: dict[str, Any]) -> bool:
    kind = one.get("kty")
    return isinstance(kind, str) and kind in _MEMBERS and one.keys() >= _MEMBERS[kind]
