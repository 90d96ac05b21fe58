"""Every client message comes in here: a framework action, or a handler's."""

from collections.abc import Sequence

from streamer_core.engine import submit
from streamer_core.engine.received import Received
from streamer_core.engine.runtime import Runtime
from streamer_core.engine.submit import Storing
from streamer_core.errors import (
    InvalidAction,
    Refused,
    StorageFailed,
    StoreError,
    Unauthorized,
    Unavailable,
)
from streamer_core.handlers import RESERVED
from streamer_core.log import trace_of
from streamer_core.model import encode
from streamer_core.model.connection import Connection
from streamer_core.model.decode import decode, request_id_of
from streamer_core.model.message import Message
from streamer_core.ports import Enqueued
from streamer_core.scope import TenantScope


def receive(rt: Runtime, connection: Connection, data: bytes) -> Received:
    """Take one message; whatever is wrong with it or with us becomes an `error` message."""
    taken = take(rt, connection, data)
    return taken if isinstance(taken, Received) else store(rt, [taken])[0]


def store(rt: Runtime, those: Sequence[Storing]) -> list[Received]:
    """Store requests that were taken, in one write; acknowledge those that are stored."""
    answers: Sequence[Enqueued | Exception]
    try:
        answers = rt.store.enqueue_all([one.enqueuing for one in those])
    except Exception as error:  # noqa: BLE001 - each kind has its answer
        answers = [error] * len(those)
    return [_stored(rt, *pair) for pair in zip(those, answers, strict=True)]


def _stored(rt: Runtime, storing: Storing, answer: Enqueued | Exception) -> Received:
    with TenantScope(storing.enqueuing.request.tenant):
        try:
            return submit.acknowledge(rt, storing, answer)
        except Exception as error:  # noqa: BLE001 - each kind has its answer
            return _failed(rt, error, storing.message)


def take(rt: Runtime, connection: Connection, data: bytes) -> Received | Storing:
    """Take one message as far as there is nothing to store: answered, or to be stored."""
    message: Message | None = None
    with TenantScope(connection.principal.tenant):
        try:
            message = decode(
                data,
                max_bytes=rt.settings.max_message_bytes,
                max_delay_ms=rt.settings.max_delay,
                new_id=rt.clock.new_id,
            )
            return _handle(rt, connection, message)
        except Exception as error:  # noqa: BLE001 - each kind has its answer
            return _failed(rt, error, message, data)


def _failed(rt: Runtime, error: Exception, message: Message | None, data: bytes = b"") -> Received:
    if isinstance(error, Refused):
        return _refused(rt, error, message, data)
    action = message.action if message else None
    if isinstance(error, StoreError):
        rt.log.error("store failed", action=action, exc_info=error)
        return _refused(rt, StorageFailed("It could not be stored; try again"), message, data)
    _log_failure(rt, error, message)
    return _refused(rt, Refused("The message could not be handled"), message, data)


def _handle(rt: Runtime, connection: Connection, message: Message) -> Received | Storing:
    if connection.expires_at <= rt.clock.now():
        raise Unauthorized("The connection is over; open a new one")
    if message.action.startswith(RESERVED):
        from streamer_core.engine import framework  # noqa: PLC0415 - and all that ends requests

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


def _log_failure(rt: Runtime, error: Exception, message: Message | None) -> None:
    token = message.payload.get("token") if message else None
    trace = trace_of(error, without=token if isinstance(token, str) else None)
    rt.log.error("message failed", action=message.action if message else None, exception=trace)


def _limit(rt: Runtime, connection: Connection, message: Message) -> None:
    rt.hook.streamer_limit(principal=connection.principal, connection=connection, request=message)


def _refused(rt: Runtime, error: Refused, message: Message | None, data: bytes) -> Received:
    rt.measure("message.refused", tags={"code": error.code})
    too_large = len(data) > rt.settings.max_message_bytes
    # An oversized message is not parsed only to name its id.
    request_id = message.id if message else None if too_large else request_id_of(data)
    return Received(frames=(encode.refused(rt.clock.now(), request_id, error).data,))
