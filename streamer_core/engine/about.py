"""What log lines are about: ids of request, connection and tenant, made only if a line is."""

from collections.abc import Mapping

from streamer_core.handlers import RESERVED
from streamer_core.model.connection import Connection, Handshake
from streamer_core.model.ids import ref_of
from streamer_core.model.message import Message
from streamer_core.model.request import Request

Fields = Mapping[str, str | None]


def handshake(shown: Handshake) -> Fields:
    """Somebody who connects, and is not known yet."""
    return {"connection_id": shown.connection_id}


def message(connection: Connection | None, taken: Message | None = None) -> Fields:
    """A connection, and the message of it that is being handled, once it is decoded."""
    if connection is None:
        return {}
    principal = connection.principal
    whose = {"connection_id": connection.id, "tenant": principal.tenant, "user": principal.user}
    if taken is None:
        return whose
    framework = taken.action.startswith(RESERVED)
    key = None if framework else ref_of(principal.tenant, principal.user, taken.id)
    return {"request_id": taken.id, "ref": key, "action": taken.action, **whose}


def ref(known: str) -> Fields:
    """A stored request of which nothing else is known here."""
    return {"ref": known}


def request(stored: Request) -> Fields:
    """A stored request, and the connection that it came from."""
    return {
        "request_id": stored.id,
        "ref": stored.ref,
        "action": stored.action,
        "connection_id": stored.connection_id,
        "tenant": stored.tenant,
        "user": stored.user,
    }
