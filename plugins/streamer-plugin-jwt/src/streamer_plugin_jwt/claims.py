"""What a token claims: whether it is good now, here and for us, and who it says it is."""

from collections.abc import Iterator, Mapping
from typing import Any

from streamer_core.model.principal import Principal
from streamer_plugin_jwt.settings import Issuer, JwtSettings
from streamer_plugin_jwt.tokens import BadToken

_MOST_TEXT = 256
_LATEST = 253_402_300_800
"""Seconds: the year 10000. What is later, and what is no number, is no time."""


def principal_of(
    claims: Mapping[str, Any], issuer: Issuer, settings: JwtSettings, now: int
) -> Principal:
    """Check the claims of a token whose signature is good.

    Raises:
        BadToken: they do not let anybody in.
    """
    ends_at, issued_at = _check_times(claims, settings, now)
    _check_audience(claims, issuer)
    for name in issuer.require:
        if claims.get(name) is None:
            raise BadToken(f"no {name}")
    return Principal(
        user=_text(claims, issuer.user),
        tenant=_text(claims, issuer.tenant) if issuer.tenant else "default",
        scopes=frozenset(_scopes(claims, issuer)),
        expires_at=ends_at,
        token_id=_text(claims, "jti") if "jti" in claims else None,
        issued_at=issued_at,
        claims=claims,
    )


def _check_times(claims: Mapping[str, Any], settings: JwtSettings, now: int) -> tuple[int, int]:
    """Give when it ends, and when it was issued: 0 where it is not said, before all revocations."""
    ends_at = _time(claims, "exp")
    if ends_at is None:
        raise BadToken("no exp")
    if ends_at + settings.leeway <= now:
        raise BadToken("expired")
    begins_at = _time(claims, "iat")
    if ends_at - (now if begins_at is None else begins_at) > settings.longest_life:
        raise BadToken("good for too long")  # longer than its revocation would be kept
    for name in ("nbf", "iat"):
        begins_at = _time(claims, name)
        if begins_at is not None and begins_at - settings.leeway > now:
            raise BadToken(f"{name} is in the future")
    # What is let in by the leeway is let in for no longer than it.
    return ends_at if ends_at > now else ends_at + settings.leeway, _time(claims, "iat") or 0


def _time(claims: Mapping[str, Any], name: str) -> int | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadToken(f"{name} is no time")
    if not 0 <= value < _LATEST:
        raise BadToken(f"{name} is no time")
    return int(value * 1000)


def _check_audience(claims: Mapping[str, Any], issuer: Issuer) -> None:
    name = "aud"
    if issuer.cognito:
        use = claims.get("token_use")
        if use not in issuer.token_use:
            raise BadToken("token_use not taken")
        # "Verifying JSON Web Tokens", Amazon Cognito developer guide: an access token has its
        # client's id there.
        name = "aud" if use == "id" else "client_id"
    value = claims.get(name)
    found = value if isinstance(value, list) else [] if value is None else [value]
    # RFC 7519, 4.1.3: who is not among those named must refuse.
    is_meant = any(isinstance(one, str) and one in issuer.audience for one in found)
    if (issuer.audience or found) and not is_meant:
        raise BadToken(f"{name} is another")


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not is_short_text(value):
        raise BadToken(f"{name} is no short text")
    return value


def is_short_text(value: str) -> bool:
    """Tell whether a token that is let in may have it for a user, a tenant or an id."""
    return 0 < len(value) <= _MOST_TEXT and value.isprintable()


def _scopes(claims: Mapping[str, Any], issuer: Issuer) -> Iterator[str]:
    names = (*issuer.scopes, "cognito:groups") if issuer.cognito else issuer.scopes
    for name in names:
        value = claims.get(name)
        if isinstance(value, str):
            yield from value.split()
        elif isinstance(value, list):
            yield from (one for one in value if isinstance(one, str) and one)
