"""Messages to connections: through the hooks to the transport, and what its verdict means."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streamer_core.engine import about
from streamer_core.engine.runtime import Runtime
from streamer_core.errors import StoreError
from streamer_core.model import encode
from streamer_core.model.call import Outgoing, Push
from streamer_core.model.connection import GOING_AWAY
from streamer_core.model.ids import request_subject
from streamer_core.model.request import Request
from streamer_core.ports import Delivery

_OWN_REASONS = frozenset({"gone", "expired"})
_PAGE = 200
_PATIENCE_S = 1.0
_STEP_S = 0.05


def send(
    rt: Runtime, outgoing: Outgoing, connections: Sequence[str], gone: set[str] | None = None
) -> list[str]:
    """Send one message to many connections; give those that did not take it but are still there.

    A connection that is gone is forgotten, and added to `gone`.
    """
    return send_each(rt, [(outgoing, connections)], gone)[0]


def send_each(
    rt: Runtime,
    messages: Sequence[tuple[Outgoing, Sequence[str]]],
    gone: set[str] | None = None,
) -> list[list[str]]:
    """Send many messages, each to its own connections; give for each what `send` gives."""
    pushes = [Push(message=one, connections=connections) for one, connections in messages]
    if not any(one.connections for one in pushes):
        return [[] for _ in pushes]
    verdicts = _verdicts(rt, pushes)
    gone = set() if gone is None else gone
    return [_judged(rt, *pair, gone) for pair in zip(pushes, verdicts, strict=True)]


def _verdicts(rt: Runtime, pushes: Sequence[Push]) -> Sequence[Mapping[str, Delivery]]:
    try:
        verdicts: Sequence[Mapping[str, Delivery]] = rt.hook.streamer_deliver(pushes=pushes)
    except Exception:
        # TransportError where it is a good transport; a bad one must not cost the request either.
        rt.log.exception("delivery failed", types=sorted({one.message.type for one in pushes}))
        return [dict.fromkeys(one.connections, Delivery.BUSY) for one in pushes]
    if _fit(verdicts, pushes):
        return verdicts
    rt.log.error("streamer_deliver gave no verdicts", given=type(verdicts).__name__)
    return [dict.fromkeys(one.connections, Delivery.BUSY) for one in pushes]


def _fit(verdicts: Any, pushes: Sequence[Push]) -> bool:
    return (
        isinstance(verdicts, Sequence)
        and len(verdicts) == len(pushes)
        and all(isinstance(of_each, Mapping) for of_each in verdicts)
    )


def _judged(rt: Runtime, push: Push, verdicts: Mapping[str, Delivery], gone: set[str]) -> list[str]:
    """Act on the verdicts of one message; give who was busy, and add who is gone."""
    outgoing, busy = push.message, []
    for connection_id in push.connections:
        verdict = verdicts.get(connection_id)
        if verdict is Delivery.GONE:
            forget_if_possible(rt, connection_id, "gone")
            gone.add(connection_id)
        elif verdict is Delivery.TOO_LARGE:
            rt.log.error(
                "message too large", type=outgoing.type, ref=outgoing.ref, bytes=len(outgoing.data)
            )
        elif verdict is not Delivery.DELIVERED:
            busy.append(connection_id)
    if rt.measuring:
        _measure(rt, outgoing, sum(one is Delivery.DELIVERED for one in verdicts.values()))
        if busy:
            rt.measure("message.busy", len(busy), tags={"type": outgoing.type})
    return busy


def _measure(rt: Runtime, outgoing: Outgoing, sent: int) -> None:
    """Measure what the transport has taken, for so many connections."""
    if not sent:
        return
    tags = {"type": outgoing.type}
    rt.measure("message.sent", sent * len(outgoing.data), "bytes", tags, times=sent)
    rt.measure("message.latency", max(0, rt.clock.now() - outgoing.at), "ms", tags)


def send_patiently(rt: Runtime, outgoing: Outgoing, connection_id: str) -> bool:
    """Send one message that is stored nowhere, waiting a little for a client that is busy.

    False where it never took it.
    """
    waited = 0.0
    while send(rt, outgoing, [connection_id]):
        if waited >= _PATIENCE_S:
            return False
        time.sleep(_STEP_S)
        waited += _STEP_S
    return True


def dismiss(rt: Runtime, connection_id: str, reason: str) -> None:
    """Say goodbye on a connection that is still open, close it, and forget it in any case."""
    goodbye = encode.goodbye(rt.clock.now(), reason, 0)
    try:
        if rt.transport.send(connection_id, goodbye.data) is not Delivery.GONE:
            rt.transport.close_connection(connection_id, GOING_AWAY, reason)
    except Exception:
        # Whoever is still there is refused, and closed, with the next message.
        rt.log.exception("transport failed", type=goodbye.type)
    forget(rt, connection_id, reason)


def forget_if_possible(rt: Runtime, connection_id: str, reason: str) -> None:
    """Forget a connection, or leave it to the sweeper, which does once it has expired."""
    try:
        forget(rt, connection_id, reason)
    except StoreError:
        rt.log.warning("connection could not be forgotten", connection_id=connection_id)


def forget(rt: Runtime, connection_id: str, reason: str) -> None:
    """Forget a connection and its subscriptions, and tell observers once."""
    connection = rt.store.delete_connection(connection_id)
    if connection is None:
        return
    # The transport's word may be the client's own, any text at all.
    known = reason if reason in _OWN_REASONS else "closed"
    with about.message(connection):
        rt.tell("streamer_on_disconnect", connection=connection, reason=reason)
        rt.measure("connection.closed", tags={"reason": known})


def send_stored(
    rt: Runtime, request: Request, connections: Iterable[str], *, after: int
) -> dict[str, int]:
    """Send what is stored after a `seq`; give those still behind, and the last `seq` they took.

    A connection that is busy is left alone from there on, so that it gets nothing out of order.
    """
    behind: dict[str, int] = {}
    gone: set[str] = set()
    current = list(connections)
    while current and (page := rt.store.updates(request.ref, after=after, limit=_PAGE)):
        for stored in page:
            busy = send(rt, encode.update(request, request.ref, stored), current, gone)
            behind.update(dict.fromkeys(busy, stored.seq - 1))
            current = [one for one in current if one not in behind and one not in gone]
        after = page[-1].seq
    return behind


def send_unsent(rt: Runtime, ref: str) -> bool:
    """Send what is stored of a request and not known to have been sent; True where nothing is left.

    Promise 1: a crash between storing and sending is made good by the server.
    """
    request = rt.store.get(ref)
    if request is None or request.sent_seq >= request.last_seq:
        return True
    subscribers = rt.store.subscribers(request_subject(ref))
    behind = send_stored(rt, request, subscribers, after=request.sent_seq)
    mark_sent(rt, ref, min([request.last_seq, *behind.values()]))
    return not behind


def mark_sent(rt: Runtime, ref: str, seq: int) -> None:
    """Note what was sent; a note that fails costs a repeated send."""
    try:
        rt.store.mark_sent(ref, seq)
    except StoreError:
        rt.log.warning("sent mark lost", ref=ref, seq=seq, exc_info=True)
