"""Letting a connection in, renewing it, and seeing it off."""

from collections.abc import Sequence
from dataclasses import replace

from streamer_core import log
from streamer_core.engine import about, deliver, submit
from streamer_core.engine.runtime import Runtime
from streamer_core.errors import (
    Forbidden,
    LimitReached,
    Refused,
    StorageFailed,
    StoreError,
    Unauthorized,
    Unavailable,
)
from streamer_core.model.connection import Connection, Handshake
from streamer_core.model.counter import Count
from streamer_core.model.principal import Principal
from streamer_core.scope import TenantScope


def connect(rt: Runtime, handshake: Handshake) -> Connection:
    """Authenticate, ask the gates, store.

    Raises:
        Refused: with the HTTP status to answer: 401, 403, 429, 503.
    """
    with about.handshake(handshake):
        try:
            connection = _connected(rt, handshake)
        except Refused as error:
            rt.measure("connection.refused", tags={"code": error.code})
            raise
    with about.message(connection):
        rt.tell("streamer_on_connect", connection=connection)
        rt.measure("connection.opened")
    return connection


def _connected(rt: Runtime, handshake: Handshake) -> Connection:
    try:
        principal = _known(rt, handshake)
        with TenantScope(principal.tenant):
            return _stored(rt, *_admit(rt, handshake, principal))
    except Refused:
        raise
    except StoreError:
        rt.log.exception("connection could not be stored")
        raise StorageFailed("The connection could not be stored") from None
    except Exception as error:  # noqa: BLE001 - a plugin may fail in any way
        trace = log.trace_of(error, without=handshake.token)
        rt.log.error("connection failed", exception=trace)  # noqa: TRY400 - without the token
        raise Unavailable("The connection could not be opened") from None


def _stored(rt: Runtime, connection: Connection, counts: Sequence[Count]) -> Connection:
    try:
        rt.store.put_connection(connection, counts=counts)
    except LimitReached as error:
        raise submit.refused_by(rt, error, counts) from None
    return connection


def _known(rt: Runtime, handshake: Handshake) -> Principal:
    if rt.draining.is_set():
        raise Unavailable("The server is about to stop; connect again")
    return authenticated(rt, handshake)


def _admit(
    rt: Runtime, handshake: Handshake, principal: Principal
) -> tuple[Connection, Sequence[Count]]:
    """Ask the gates; give the connection to store, and what is counted with it."""
    now = rt.clock.now()
    connection = Connection(
        id=handshake.connection_id,
        principal=principal,
        address=handshake.address,
        connected_at=now,
        expires_at=_end(rt, now, principal),
    )
    rt.hook.streamer_limit(principal=principal, connection=connection, request=None)
    counts = submit.gathered(
        rt.hook.streamer_admit(
            principal=principal, connection=connection, request=None, handler=None, mode=None
        )
    )
    settle = submit.settled_of(counts)
    return replace(connection, settle=settle), submit.taken_of(counts)


def authenticated(rt: Runtime, handshake: Handshake) -> Principal:
    """Ask the authenticators.

    Raises:
        Unauthorized: none of them knows the client, or its token is over.
    """
    principal: Principal | None = rt.hook.streamer_authenticate(handshake=handshake)
    if principal is None:
        raise Unauthorized("A valid token is needed")
    if principal.expires_at is not None and principal.expires_at <= rt.clock.now():
        raise Unauthorized("The token has expired")
    names = rt.settings.keep_claims
    kept = {name: principal.claims[name] for name in names if name in principal.claims}
    return replace(principal, kept=kept) if kept else principal


def _end(rt: Runtime, connected_at: int, principal: Principal) -> int:
    life = connected_at + rt.settings.connection_life
    return life if principal.expires_at is None else min(life, principal.expires_at)


def renew(rt: Runtime, connection: Connection, token: str) -> Connection:
    """Take a new token on a live connection.

    Raises:
        Unauthorized: the token is not good.
        Forbidden: it is another user's or tenant's.
    """
    principal = authenticated(
        rt,
        Handshake(
            connection_id=connection.id,
            token=token,
            address=connection.address,
            renewing=connection.principal,
        ),
    )
    old = connection.principal
    if (principal.tenant, principal.user) != (old.tenant, old.user):
        raise Forbidden("The token is another user's; open a new connection for it")
    renewed = replace(
        connection,
        principal=principal,
        expires_at=_end(rt, connection.connected_at, principal),
    )
    rt.store.put_connection(renewed)
    return renewed


def disconnect(rt: Runtime, connection_id: str, reason: str) -> None:
    """Forget a connection. Its requests go on: promise 6."""
    deliver.forget_if_possible(rt, connection_id, reason)
