"""Every client message comes in here: a framework action, or a handler's."""

from streamer_core.engine import framework, submit
from streamer_core.engine.received import Received
from streamer_core.engine.runtime import Runtime
from streamer_core.errors import (
    InvalidAction,
    Refused,
    StorageFailed,
    StoreError,
    Unauthorized,
    Unavailable,
)
from streamer_core.handlers import RESERVED
from streamer_core.model import encode
from streamer_core.model.connection import Connection
from streamer_core.model.decode import decode, request_id_of
from streamer_core.model.message import Message


def receive(rt: Runtime, connection: Connection, data: bytes) -> Received:
    """Take one message; whatever is wrong with it or with us becomes an `error` message."""
    message: Message | None = None
    try:
        message = decode(
            data,
            max_bytes=rt.settings.max_message_bytes,
            max_delay_ms=rt.settings.max_delay,
            new_id=rt.clock.new_id,
        )
        return _handle(rt, connection, message)
    except Refused as error:
        return _refused(rt, error, message, data)
    except StoreError:
        rt.log.exception("store failed", action=message.action if message else None)
        return _refused(rt, StorageFailed("It could not be stored; try again"), message, data)
    except Exception:
        rt.log.exception("message failed", action=message.action if message else None)
        return _refused(rt, Refused("The message could not be handled"), message, data)


def _handle(rt: Runtime, connection: Connection, message: Message) -> Received:
    if connection.expires_at <= rt.clock.now():
        raise Unauthorized("The connection is over; open a new one")
    if message.action.startswith(RESERVED):
        verb = framework.ACTIONS.get(message.action)
        if verb is None:
            raise InvalidAction(f"There is no action {message.action}")
        _limit(rt, connection, message)
        return verb(rt, connection, message)
    registered = rt.registry.get(message.action)
    if registered is None:
        raise InvalidAction(f"There is no action {message.action}")
    if rt.draining.is_set():
        raise Unavailable("The server is about to stop; connect again")
    return submit.submit(rt, connection, message, registered)


def _limit(rt: Runtime, connection: Connection, message: Message) -> None:
    rt.hook.streamer_limit(principal=connection.principal, connection=connection, request=message)


def _refused(rt: Runtime, error: Refused, message: Message | None, data: bytes) -> Received:
    rt.measure("message.refused", tags={"code": error.code})
    too_large = len(data) > rt.settings.max_message_bytes
    # An oversized message is not parsed only to name its id.
    request_id = message.id if message else None if too_large else request_id_of(data)
    return Received(frames=(encode.refused(rt.clock.now(), request_id, error).data,))
