"""Issuing tokens for development, with the key that the settings name."""

from collections.abc import Sequence
from typing import Any

from streamer_core.errors import ConfigurationError
from streamer_core.ports import Clock
from streamer_core.records import record
from streamer_plugin_jwt.settings import Issuer
from streamer_plugin_jwt.tokens import BadToken
from streamer_plugin_jwt.verifier import Verifier


@record
class Wanted:
    """What a token shall say; `tenant` None: nothing of it."""

    user: str
    tenant: str | None
    scopes: Sequence[str]
    life_ms: int


def issue(verifier: Verifier, clock: Clock, name: str, wanted: Wanted) -> str:
    """Sign a token that this application lets in, as from the issuer of that name.

    Raises:
        ConfigurationError: there is no key to sign with, the settings read no such claim, or would
            refuse the token.
    """
    import jwt  # noqa: PLC0415 - and all of cryptography

    issuer = verifier.issuers[name]
    if wanted.tenant is not None and issuer.tenant is None:
        raise ConfigurationError(
            'all users are of the tenant "default": [plugins.jwt] tenant names no claim; '
            'try: tenant = "tenant"'
        )
    key, algorithm = _signing_key(verifier, name, issuer)
    headers = {"kid": key.kid} if key.kid else None
    claims = _claims(clock, issuer, wanted)
    token = jwt.encode(claims, key.private, algorithm=algorithm, headers=headers)
    try:
        verifier.verify(token)
    except BadToken as error:
        raise ConfigurationError(f"{name}: nobody would be let in by this token: {error}") from None
    return token


def _signing_key(verifier: Verifier, name: str, issuer: Issuer) -> tuple[Any, str]:
    if issuer.keys:
        for key in verifier.key_set(name).keys(None):
            allowed = [one for one in key.algorithms if one in (issuer.algorithms or {one})]
            if key.private is not None and allowed:
                return key, allowed[0]
    raise ConfigurationError(
        f"{name}: there is no key to sign with: its issuer alone has it; for development write "
        f'keys = ["env:JWT_SECRET"], or the place of a private key, in [plugins.jwt]'
    )


def _claims(clock: Clock, issuer: Issuer, wanted: Wanted) -> dict[str, Any]:
    now = clock.now()
    claims: dict[str, Any] = {
        "iat": now // 1000,
        "exp": (now + wanted.life_ms) // 1000,
        "jti": clock.new_id(),
        issuer.user: wanted.user,
    }
    if issuer.issuer:
        claims["iss"] = issuer.issuer
    if issuer.tenant:
        claims[issuer.tenant] = wanted.tenant or "default"
    if wanted.scopes and issuer.scopes:
        claims[issuer.scopes[0]] = " ".join(wanted.scopes)
    use = issuer.token_use[0]
    if issuer.cognito:
        claims["token_use"] = use
    if issuer.audience:
        is_access = issuer.cognito and use == "access"
        claims["client_id" if is_access else "aud"] = issuer.audience[0]
    return claims
