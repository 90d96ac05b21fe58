"""Every client message comes in here: a framework action, or a handler's."""

from collections.abc import Sequence
from dataclasses import replace

from streamer_core import log
from streamer_core.engine import about, submit
from streamer_core.engine.enqueue import enqueue_all
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
from streamer_core.hooks import inside
from streamer_core.model import encode
from streamer_core.model.connection import GOING_AWAY, Connection
from streamer_core.model.decode import decode, request_id_of
from streamer_core.model.message import NO_ACTION, Message
from streamer_core.ports import Enqueued


def receive(rt: Runtime, connection: Connection | None, data: bytes) -> Received:
    """Take one message; whatever is wrong with it or with us becomes an `error` message."""
    taken = take(rt, connection, data)
    return taken if isinstance(taken, Received) else store(rt, [taken])[0]


def store(rt: Runtime, those: Sequence[Storing]) -> list[Received]:
    """Store requests that were taken, in one write; acknowledge those that are stored."""
    answers = enqueue_all(rt, [one.enqueuing for one in those])
    return [_stored(rt, *pair) for pair in zip(those, answers, strict=True)]


def _stored(rt: Runtime, storing: Storing, answer: Enqueued | Exception) -> Received:
    with about.request(storing.enqueuing.request):
        try:
            received = submit.acknowledge(rt, storing, answer)
        except Exception as error:  # noqa: BLE001 - each kind has its answer
            received = _failed(rt, error, storing.message)
        _measure_answer(rt, received)
    return received


def take(rt: Runtime, connection: Connection | None, data: bytes) -> Received | Storing:
    """Take one message as far as there is nothing to store: answered, or to be stored.

    None: the connection that it came on is not known any more.
    """
    message: Message | None = None
    taken: Received | Storing
    with about.message(connection) as work:
        rt.measure("message.received", len(data), "bytes")
        try:
            live = _live(rt, connection)
            message = _decode(rt, live, data)
            work.know(message)
            taken = _handle(rt, live, message)
        except Exception as error:  # noqa: BLE001 - each kind has its answer
            taken = _failed(rt, error, message, data)
        if isinstance(taken, Received):
            _measure_answer(rt, taken)
    return taken


def _measure_answer(rt: Runtime, received: Received) -> None:
    if rt.measuring:
        rt.measure("message.answered", sum(map(len, received.frames)), "bytes")


def _failed(rt: Runtime, error: Exception, message: Message | None, data: bytes = b"") -> Received:
    return _refused(rt, _refusal(rt, error, message), message, data)


def _refusal(rt: Runtime, error: Exception, message: Message | None) -> Refused:
    """Say of any error what a client may know of it; what is not meant for one is logged."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, StoreError):
        action = message.action if message else None
        rt.log.error("store failed", action=action, exc_info=error)
        return StorageFailed("It could not be stored; try again")
    _log_failure(rt, error, message)
    return Refused("The message could not be handled")


def _live(rt: Runtime, connection: Connection | None) -> Connection:
    if connection is None or connection.expires_at <= rt.clock.now():
        raise Unauthorized("The connection is over; open a new one", close=(GOING_AWAY, "expired"))
    return connection


def _decode(rt: Runtime, connection: Connection, data: bytes) -> Message:
    try:
        return decode(
            data,
            max_bytes=rt.settings.max_message_bytes,
            max_delay_ms=rt.settings.max_delay,
            new_id=rt.clock.new_id,
        )
    except Refused:
        _limit(rt, connection, Message(id="-", named=False, action=NO_ACTION, size=len(data)))
        raise


def _handle(rt: Runtime, connection: Connection, message: Message) -> Received | Storing:
    if message.action.startswith(RESERVED):
        from streamer_core.engine import framework  # noqa: PLC0415 - and all that ends requests

        verb = framework.ACTIONS.get(message.action)
        if verb is None:
            raise _unknown(rt, connection, message)
        _limit(rt, connection, message)
        return verb(rt, connection, message)
    registered = rt.registry.get(message.action)
    if registered is None:
        raise _unknown(rt, connection, message)
    if rt.draining.is_set():
        raise Unavailable("The server is about to stop; connect again")
    around = rt.hook.streamer_around_message(request=message, connection=connection)
    if not around:
        return submit.submit(rt, connection, message, registered)

    def take() -> Received | Storing:
        try:
            return submit.submit(rt, connection, message, registered)
        except Refused:
            raise
        except Exception as error:  # logged in here, where plugins are around it
            raise _refusal(rt, error, message) from error

    return inside(around, take)


def _log_failure(rt: Runtime, error: Exception, message: Message | None) -> None:
    token = message.payload.get("token") if message else None
    trace = log.trace_of(error, without=token if isinstance(token, str) else None)
    rt.log.error("message failed", action=message.action if message else None, exception=trace)


def _unknown(rt: Runtime, connection: Connection, message: Message) -> InvalidAction:
    # Not under its name: plugins would remember as many names as clients can think of.
    _limit(rt, connection, replace(message, action=NO_ACTION))
    return InvalidAction(f"There is no action {message.action}")


def _limit(rt: Runtime, connection: Connection, message: Message) -> None:
    rt.hook.streamer_limit(principal=connection.principal, connection=connection, request=message)


def _refused(rt: Runtime, error: Refused, message: Message | None, data: bytes) -> Received:
    rt.measure("message.refused", tags={"code": error.code})
    too_large = len(data) > rt.settings.max_message_bytes
    # An oversized message is not parsed only to name its id.
    request_id = message.id if message else None if too_large else request_id_of(data)
    now = rt.clock.now()
    refusal = encode.refused(now, request_id, error).data
    if error.close is None:
        return Received(frames=(refusal,))
    goodbye = encode.goodbye(now, error.close[1], error.retry_after_ms or 0).data
    return Received(frames=(refusal, goodbye), close=error.close)
