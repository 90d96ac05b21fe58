"""Every message that a server sends, as PROTOCOL.md's table has them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from streamer_core.errors import Refused
from streamer_core.model.call import Outgoing
from streamer_core.model.compact import encoder
from streamer_core.model.message import Message
from streamer_core.model.nesting import too_deep
from streamer_core.model.request import Failure, Request, Snapshot, Status
from streamer_core.model.update import Kind, NewUpdate, Update

PROTOCOL_VERSION = 1
RETRYABLE = frozenset(
    {"RATE_LIMITED", "TIMEOUT", "SERVICE_UNAVAILABLE", "CIRCUIT_OPEN", "STORAGE_ERROR"}
)


def _jsonable(value: Any) -> Any:
    from pydantic_core import to_jsonable_python  # noqa: PLC0415

    try:
        return to_jsonable_python(value)
    except Exception as error:  # a model's computed field may raise anything
        raise ValueError(str(error)) from error


_encode = encoder(default=_jsonable)


def encode(value: Any) -> bytes:
    """Encode as compact JSON; ASCII, so that lone surrogates pass too.

    Models, dataclasses, dates, decimals, sets and the like become what pydantic makes of them.

    Raises:
        ValueError: JSON cannot hold the value.
    """
    try:
        return _encode(value).encode("ascii")
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def plain(value: Any) -> Any:
    """Give a handler's value as plain JSON values of its own, which a later change cannot reach.

    Raises:
        ValueError: JSON cannot hold the value.
    """
    return plain_and_size(value)[0]


def plain_and_size(value: Any) -> tuple[Any, int]:
    """Give a value as `plain` does, and how many bytes it has, encoded.

    Raises:
        ValueError: JSON cannot hold the value.
    """
    if value is None:
        return None, len("null")
    data = encode(value)
    try:
        made = json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if too_deep(made, data):
        raise ValueError("it is nested too deeply")
    return made, len(data)


_NONE: Mapping[str, str] = {}


def _outgoing(  # noqa: PLR0917 - a message's parts, in order
    kind: str,
    now: int,
    body: Mapping[str, Any],
    request_id: str | None,
    ref: str | None = None,
    metadata: Mapping[str, str] = _NONE,
    at: int | None = None,
) -> Outgoing:
    message: dict[str, Any] = {"type": kind, "timestamp": now}
    if request_id is not None:
        message["request_id"] = request_id
    message.update(body)
    return Outgoing(
        type=kind,
        data=encode(message),
        request_id=request_id,
        ref=ref,
        metadata=metadata,
        at=now if at is None else at,
    )


def response(now: int, request_id: str, data: Any) -> Outgoing:
    """Answer a sync request or a framework action."""
    return _outgoing("response", now, {"success": True, "data": data}, request_id)


def acknowledgment(now: int, request: Request, message: str) -> Outgoing:
    """Say that a request is durably stored, and where it stands."""
    body = {"ref": request.ref, "status": request.status.wire, "message": message}
    if request.redriven_from is not None:
        body["redriven_from"] = request.redriven_from
    return _outgoing("acknowledgment", now, body, request.id, request.ref)


def progress(now: int, request: Request | Message, ref: str, snapshot: Snapshot) -> Outgoing:
    """Show a snapshot of a request, stored or as it was sent."""
    body: dict[str, Any] = {
        "percentage": snapshot.percentage,
        "message": snapshot.message,
        "attempt": snapshot.attempt,
        "n": snapshot.n,
        "after": snapshot.after,
    }
    if snapshot.metadata is not None:
        body["metadata"] = snapshot.metadata
    return _outgoing("progress", now, body, request.id, ref, request.metadata, snapshot.at)


def update(request: Request | Message, ref: str, stored: Update) -> Outgoing:
    """Show a chunk, a restart or a terminal message of a request, stored or as it was sent."""
    body: dict[str, Any] = {"seq": stored.seq, "attempt": stored.attempt, **stored.body}
    if stored.kind.terminal:
        body["terminal"] = True
    return _outgoing(stored.kind.value, stored.at, body, request.id, ref, request.metadata)


def end(request: Request) -> list[Outgoing]:
    """Show the terminal message, from the record alone; nothing where there is none yet."""
    if not request.status.terminal:
        return []
    last = Update(
        seq=request.last_seq,
        kind=Kind.COMPLETE if request.status is Status.COMPLETED else Kind.ERROR,
        attempt=request.attempt,
        body=request.outcome or {},
        at=request.finished_at or 0,
    )
    return [update(request, request.ref, last)]


def new_update(kind: Kind, attempt: int, body: Mapping[str, Any], at: int) -> NewUpdate:
    """Make an update whose size nobody knows yet."""
    return NewUpdate(kind=kind, attempt=attempt, body=body, size=len(encode(body)), at=at)


def numbered(updates: Sequence[NewUpdate], last_seq: int) -> list[Update]:
    """Give the updates the numbers that an append which ended at `last_seq` gave them."""
    first = last_seq - len(updates) + 1
    return [
        Update(seq=first + i, kind=new.kind, attempt=new.attempt, body=new.body, at=new.at)
        for i, new in enumerate(updates)
    ]


_MOST_DETAILS_BYTES = 32 * 1024
_MOST_MESSAGE_CHARS = 1000


def public(message: Any, details: Any) -> tuple[str, Any]:
    """Give an error's words as any message can carry them.

    Details that JSON cannot hold, or that fill a message by themselves, are left out: better the
    client learns of the error without them than not at all.
    """
    try:
        made = None if details is None else plain(details)
    except ValueError:
        made = None
    fits = len(encode(made)) <= _MOST_DETAILS_BYTES
    return str(message)[:_MOST_MESSAGE_CHARS], made if fits else None


def error_body(
    code: str,
    message: str,
    *,
    details: Any = None,
    retryable: bool | None = None,
    after_ms: int | None = None,
) -> dict[str, Any]:
    """Make the `error` object of an error message."""
    body: dict[str, Any] = {"code": code, "message": message}
    if details is not None:
        body["details"] = details
    if code in RETRYABLE if retryable is None else retryable:
        body["retry"] = {"retryable": True}
        if after_ms is not None:
            body["retry"]["after_ms"] = after_ms
    return body


def failure_body(failure: Failure) -> dict[str, Any]:
    """Make the `error` object that a client reads of a failed request."""
    return error_body(
        failure.code, failure.message, details=failure.details, after_ms=failure.retry_after_ms
    )


def refused(now: int, request_id: str | None, error: Refused) -> Outgoing:
    """Say that a message was not accepted."""
    text, details = public(error.message, error.details)
    body = error_body(
        error.code,
        text,
        details=details,
        retryable=error.retryable,
        after_ms=error.retry_after_ms,
    )
    return _outgoing("error", now, {"error": body, "refused": True}, request_id)


def event(now: int, topic: str, data: Any) -> Outgoing:
    """Bring an event of a topic."""
    return _outgoing("event", now, {"topic": topic, "data": data}, None)


def welcome(now: int, request_id: str, connection_id: str, limits: Any, server: str) -> Outgoing:
    """Answer `hello`."""
    body = {
        "version": PROTOCOL_VERSION,
        "connection_id": connection_id,
        "limits": limits,
        "server": server,
    }
    return _outgoing("welcome", now, body, request_id)


def resumed(now: int, request_id: str, *, recovered: bool, last_seq: int, more: bool) -> Outgoing:
    """Close a request's page of replay."""
    body = {"recovered": recovered, "last_seq": last_seq, "more": more}
    return _outgoing("resumed", now, body, request_id)


def pong(now: int, request_id: str) -> Outgoing:
    """Answer `ping`."""
    return _outgoing("pong", now, {}, request_id)


def goodbye(now: int, reason: str, reconnect_after_ms: int) -> Outgoing:
    """Say that the server is about to close the connection."""
    body = {"reason": reason, "reconnect_after_ms": reconnect_after_ms}
    return _outgoing("goodbye", now, body, None)
