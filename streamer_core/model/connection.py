"""An open WebSocket, and the handshake that asks for one."""

from collections.abc import Mapping
from dataclasses import field

from streamer_core.model.counter import Count
from streamer_core.model.principal import Principal
from streamer_core.records import record

SUBPROTOCOL = "streamer.v1"
GOING_AWAY, POLICY_VIOLATION = 1001, 1008
"""Codes that a connection is closed with: it is over, or will not be listened to (RFC 6455, 7.4.1).
"""

_BEARER_SUBPROTOCOL = "bearer."


def token_in(
    headers: Mapping[str, str], query: Mapping[str, str], *, allow_query: bool
) -> str | None:
    """Find the bearer token, where PROTOCOL says it may be and in that order.

    The `Authorization` header, then a subprotocol `bearer.<token>` beside `streamer.v1`, then, only
    where `allow_query_token` is set, the query's `Authorization` or `token`.

    Args:
        headers: names in lower case.
        query: the first value of each name.
        allow_query: the core's setting.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    offered = [part.strip() for part in headers.get("sec-websocket-protocol", "").split(",")]
    for part in offered:
        if part.startswith(_BEARER_SUBPROTOCOL) and SUBPROTOCOL in offered:
            return part.removeprefix(_BEARER_SUBPROTOCOL) or None
    if allow_query:
        found = query.get("Authorization") or query.get("token") or None
        return found.removeprefix("Bearer ") if found else None
    return None


@record
class Handshake:
    """What a client shows before it is let in, or again in band with `streamer.authenticate`.

    Args:
        connection_id: the id the transport gave the connection.
        token: the bearer token as found, or None. Never logged: left out of `repr`.
        headers: names in lower case.
        query: the query string's first value of each name.
        address: the peer's IP address as the transport saw it.
        renewing: the principal in force, where a live connection shows a new token.
    """

    connection_id: str
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    address: str | None = None
    renewing: Principal | None = None


@record
class Connection:
    """An accepted connection.

    Args:
        id: the transport's id of it.
        principal: who opened it.
        address: the peer's IP address.
        connected_at: Unix ms.
        expires_at: Unix ms at which it is treated as gone: the transport's limit on a connection's
            life, or the token's end, whichever is sooner.
        settle: counts applied once, in the same write that forgets it.
    """

    id: str
    principal: Principal
    address: str | None = None
    connected_at: int = 0
    expires_at: int = 0
    settle: tuple[Count, ...] = ()
