"""Asking about stored requests: status, list, cancel, subscribe."""

from typing import Any

from streamer_core.engine import about, deliver, redrive, settle, topics, visible
from streamer_core.engine.finish import measure_end
from streamer_core.engine.received import Received
from streamer_core.engine.runtime import Runtime
from streamer_core.errors import Invalid, NotFound
from streamer_core.model import encode
from streamer_core.model.call import Outgoing
from streamer_core.model.connection import Connection
from streamer_core.model.ids import request_subject, topic_subject
from streamer_core.model.message import Message
from streamer_core.model.request import Request, Status
from streamer_core.ports import Page, Query

_MOST_LISTED = 100
_USUALLY_LISTED = 20
_TOPIC_CHARS = 256
_STATUSES = {status.wire: status for status in Status}


def status(rt: Runtime, connection: Connection, message: Message) -> Received:
    """Show one request."""
    ref = visible.ref_in(connection.principal, message)
    request = visible.find(rt, connection.principal, ref, "status")
    return _about(rt, message, request)


def list_own(rt: Runtime, connection: Connection, message: Message) -> Received:
    """List the asker's own requests, newest first: as many of those asked for as a message holds.

    Their results are left out; `streamer.status` has them.
    """
    principal, payload = connection.principal, message.payload
    query = Query(
        tenant=principal.tenant,
        user=principal.user,
        statuses=_statuses(payload.get("status")),
        action=_text(payload, "action"),
        since=_number(payload, "since", None, 0, 2**53),
    )
    limit = _number(payload, "limit", _USUALLY_LISTED, 1, _MOST_LISTED) or 1
    while True:
        page = _page(rt, query, limit, _text(payload, "cursor"))
        data = {"requests": [visible.summary(one) for one in page.items], "cursor": page.cursor}
        answer = _answer(rt, message, data)
        if limit == 1 or _fits(rt, answer):
            return answer
        limit //= 2


def _page(rt: Runtime, query: Query, limit: int, cursor: str | None) -> Page:
    try:
        return rt.store.query(query, limit=limit, cursor=cursor)
    except ValueError:
        raise Invalid.field("payload.cursor", "is not a cursor of this list") from None


def cancel(rt: Runtime, connection: Connection, message: Message) -> Received:
    """Cancel: a waiting request ends now, a running one is asked to; its end follows."""
    ref = visible.ref_in(connection.principal, message)
    visible.find(rt, connection.principal, ref, "cancel")
    rt.store.subscribe(request_subject(ref), connection.id, expires_at=connection.expires_at)
    request = cancel_stored(rt, ref)
    if request is None:
        raise NotFound("There is no such request")
    return _about(rt, message, request, *encode.end(request))


def cancel_stored(rt: Runtime, ref: str) -> Request | None:
    """Cancel a request for whoever may, and tell its followers where that ended it."""
    before = rt.store.get(ref)
    now = rt.clock.now()
    terminal = settle.cancelled_update(before.attempt if before else 0, now)
    request = rt.store.cancel(ref, terminal, expires_at=now + rt.settings.keep)
    if request and before and request.status is Status.CANCELLED and not before.status.terminal:
        with about.request(request):
            after = Status.CANCELLED
            rt.tell("streamer_on_transition", request=request, before=before.status, after=after)
            measure_end(rt, request, after)
            deliver.send_unsent(rt, ref)
    return request


def subscribe(rt: Runtime, connection: Connection, message: Message) -> Received:
    """Follow a request, which gives its present state at once, or a topic."""
    if "topic" in message.payload:
        topic = _topic(message)
        topics.check_may_join(rt, connection.principal, topic)
        subject = topic_subject(connection.principal.tenant, topic)
        rt.store.subscribe(subject, connection.id, expires_at=connection.expires_at)
        return _answer(rt, message, {"topic": topic})
    ref = visible.ref_in(connection.principal, message)
    visible.find(rt, connection.principal, ref, "subscribe")
    rt.store.subscribe(request_subject(ref), connection.id, expires_at=connection.expires_at)
    request = visible.find(rt, connection.principal, ref, "subscribe")
    more = [*_present(rt, request), *redrive.refer(rt, connection, request)]
    return _about(rt, message, request, *more)


def _present(rt: Runtime, request: Request) -> list[Outgoing]:
    if request.status.terminal or request.progress is None:
        return encode.end(request)
    return [encode.progress(rt.clock.now(), request, request.ref, request.progress)]


def unsubscribe(rt: Runtime, connection: Connection, message: Message) -> Received:
    """Follow no more."""
    if "topic" in message.payload:
        topic = _topic(message)
        rt.store.unsubscribe(topic_subject(connection.principal.tenant, topic), connection.id)
        return _answer(rt, message, {"topic": topic})
    ref = visible.ref_in(connection.principal, message)
    rt.store.unsubscribe(request_subject(ref), connection.id)
    return _answer(rt, message, {"ref": ref})


def _about(rt: Runtime, message: Message, request: Request, *more: Outgoing) -> Received:
    """Show a request; without its result where both do not fit: `streamer.resume` brings that."""
    answer = _answer(rt, message, visible.view(request), *more)
    return answer if _fits(rt, answer) else _answer(rt, message, visible.summary(request), *more)


def _fits(rt: Runtime, answer: Received) -> bool:
    return len(answer.frames[0]) <= rt.settings.max_message_bytes


def _answer(rt: Runtime, message: Message, data: Any, *more: Outgoing) -> Received:
    first = encode.response(rt.clock.now(), message.id, data)
    return Received(frames=(first.data, *(one.data for one in more)))


def _topic(message: Message) -> str:
    topic = message.payload["topic"]
    if not isinstance(topic, str) or not 0 < len(topic) <= _TOPIC_CHARS:
        raise Invalid.field("payload.topic", f"must be 1 to {_TOPIC_CHARS} characters")
    return topic


def _statuses(value: Any) -> frozenset[Status] | None:
    if value is None:
        return None
    names = value if isinstance(value, list) else [value]
    try:
        return frozenset(_STATUSES[name] for name in names)
    except (KeyError, TypeError):
        known = ", ".join(_STATUSES)
        raise Invalid.field("payload.status", f"must be one or a list of {known}") from None


def _text(payload: Any, name: str) -> str | None:
    value = payload.get(name)
    if value is not None and not isinstance(value, str):
        raise Invalid.field(f"payload.{name}", "must be a string")
    return value


def _number(payload: Any, name: str, default: int | None, least: int, most: int) -> int | None:
    value = payload.get(name, default)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Invalid.field(f"payload.{name}", f"must be a whole number from {least} to {most}")
    return value
