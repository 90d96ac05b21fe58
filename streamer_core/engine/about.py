"""What the engine works at: a connection, a message of it, or a stored request."""

from streamer_core.handlers import RESERVED
from streamer_core.model.connection import Connection, Handshake
from streamer_core.model.ids import ref_of
from streamer_core.model.message import Message
from streamer_core.model.request import Request
from streamer_core.scope import Fields, Work


def handshake(shown: Handshake) -> Work:
    """Somebody who connects, and is not known yet."""
    return Work(None, _handshake, shown)


def message(connection: Connection | None) -> Work:
    """A connection, and the message of it that is being handled: `know` it once it is decoded."""
    tenant = connection.principal.tenant if connection else None
    return Work(tenant, _message, connection, None)


def ref(known: str) -> Work:
    """A stored request of which nothing else is known here."""
    return Work(None, _ref, known)


def request(stored: Request) -> Work:
    """A stored request, and the connection that it came from."""
    return Work(stored.tenant, _request, stored)


def _handshake(shown: Handshake) -> Fields:
    return {"connection_id": shown.connection_id}


def _message(connection: Connection | None, taken: Message | None) -> Fields:
    if connection is None:
        return {}
    principal = connection.principal
    whose = {"connection_id": connection.id, "tenant": principal.tenant, "user": principal.user}
    if taken is None:
        return whose
    framework = taken.action.startswith(RESERVED)
    key = None if framework else ref_of(principal.tenant, principal.user, taken.id)
    return {"request_id": taken.id, "ref": key, "action": taken.action, **whose}


def _ref(known: str) -> Fields:
    return {"ref": known}


def _request(stored: Request) -> Fields:
    return {
        "request_id": stored.id,
        "ref": stored.ref,
        "action": stored.action,
        "connection_id": stored.connection_id,
        "tenant": stored.tenant,
        "user": stored.user,
    }
