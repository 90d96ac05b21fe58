"""A token: taken apart, and its signature checked. What is wrong with it is a word for the log.

What is refused here is what RFC 8725 (JSON Web Token Best Current Practices) warns of:
no signature, a key that the token brings along, a public key used as a secret, extensions that
nobody knows, a token made for another purpose.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from streamer_core.records import record
from streamer_plugin_jwt.algorithms import ALGORITHMS

if TYPE_CHECKING:
    from jwt import PyJWS

    from streamer_plugin_jwt.keys import Key

LONGEST = 16 * 1024
_MOST_KID = 256
_MOST_TRIED = 10
"""So many keys without a kid are tried: each takes its time."""

_SHAPE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_TYPES = {"jwt", "at+jwt", "application/jwt", "application/at+jwt"}
_BRINGS_A_KEY = ("jwk", "jku", "x5u", "x5c")
_EXTENDS = ("crit", "b64", "zip", "enc")


class BadToken(Exception):
    """It is not good; its text is a word or two for the log, and holds nothing of the token."""


@record
class Unverified:
    """A token taken apart; nobody knows yet who wrote it."""

    algorithm: str
    kid: str | None
    claims: Mapping[str, Any]


def looks_like_one(token: str) -> bool:
    """Tell whether it has the shape of a signed token."""
    return token.count(".") == 2 and token.startswith("eyJ")


def take_apart(token: str) -> Unverified:
    """Read header and claims.

    Raises:
        BadToken: they cannot be read, or no signature could make it good.
    """
    if len(token) > LONGEST:
        raise BadToken("too long")
    parts = _SHAPE.fullmatch(token)
    if parts is None:
        raise BadToken("not of three parts in base64url")  # which has no padding: RFC 7515, 2
    header, claims = _object(parts[1]), _object(parts[2])
    _check_header(header)
    return Unverified(algorithm=header["alg"], kid=header.get("kid"), claims=claims)


def _check_header(header: Mapping[str, Any]) -> None:
    if not isinstance(header.get("alg"), str) or header["alg"] not in ALGORITHMS:
        raise BadToken("algorithm not allowed")
    if any(name in header for name in _BRINGS_A_KEY):
        raise BadToken("brings its own key")
    if any(name in header for name in _EXTENDS):
        raise BadToken("unknown extension")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise BadToken("another type of token")
    kid = header.get("kid", "")
    if not isinstance(kid, str) or len(kid) > _MOST_KID:
        raise BadToken("kid is no short text")


def _object(part: str) -> Mapping[str, Any]:
    from jwt.utils import base64url_decode  # noqa: PLC0415

    try:
        found = json.loads(
            base64url_decode(part), object_pairs_hook=_unique, parse_constant=_no_number
        )
    except (ValueError, RecursionError):
        raise BadToken("cannot be read") from None
    if not isinstance(found, dict):
        raise BadToken("cannot be read")
    return found


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")  # two readers could read two values
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


@cache
def _jws() -> "PyJWS":
    from jwt import PyJWS  # noqa: PLC0415

    return PyJWS(algorithms=sorted(ALGORITHMS))


def check_signature(token: str, unverified: Unverified, keys: Sequence["Key"]) -> None:
    """Check that one of the keys has signed it.

    Args:
        token: as it came.
        unverified: the same, taken apart.
        keys: all of which are for its algorithm.

    Raises:
        BadToken: none of them has.
    """
    from jwt.exceptions import PyJWTError  # noqa: PLC0415 - and all of PyJWT

    for key in keys[:_MOST_TRIED]:
        try:
            _jws().decode(token, key.public, algorithms=[unverified.algorithm])
        except (PyJWTError, ValueError, TypeError):
            continue
        return
    raise BadToken("no key has signed it" if keys else "no such key")
