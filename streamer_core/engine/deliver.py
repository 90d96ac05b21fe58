"""Messages to connections: through the hooks to the transport, and what its verdict means."""

import time
from collections.abc import Iterable, Mapping, Sequence

from streamer_core import log
from streamer_core.engine import about
from streamer_core.engine.runtime import Runtime
from streamer_core.errors import StoreError
from streamer_core.model import encode
from streamer_core.model.call import Outgoing
from streamer_core.model.ids import request_subject
from streamer_core.model.request import Request
from streamer_core.ports import Delivery

_OWN_REASONS = frozenset({"gone", "expired"})
_PAGE = 200
_PATIENCE_S = 1.0
_STEP_S = 0.05


def send(rt: Runtime, outgoing: Outgoing, connections: Sequence[str]) -> list[str]:
    """Send one message to many connections; give those that did not take it but are still there.

    A connection that is gone is forgotten.
    """
    if not connections:
        return []
    return _judged(rt, outgoing, _send_all(rt, outgoing, connections))


def send_each(rt: Runtime, messages: Sequence[tuple[Outgoing, Sequence[str]]]) -> list[list[str]]:
    """Send many messages, each to its own connections; give for each what `send` gives.

    One call of the transport takes them all, unless a plugin surrounds each delivery.
    """
    if _is_surrounded(rt):
        return [send(rt, outgoing, connections) for outgoing, connections in messages]
    pairs = [(outgoing, one) for outgoing, connections in messages for one in connections]
    try:
        verdicts = rt.transport.send_each([(one, outgoing.data) for outgoing, one in pairs])
    except Exception:
        rt.log.exception("transport failed", messages=len(pairs))
        verdicts = [Delivery.BUSY] * len(pairs)
    left = iter(verdicts)
    return [
        _judged(rt, outgoing, dict(zip(connections, left, strict=False)))
        for outgoing, connections in messages
    ]


def _judged(rt: Runtime, outgoing: Outgoing, verdicts: Mapping[str, Delivery]) -> list[str]:
    """Act on the verdicts of one message; give who was busy."""
    busy = []
    for connection_id, verdict in verdicts.items():
        if verdict is Delivery.GONE:
            forget_if_possible(rt, connection_id, "gone")
        elif verdict is Delivery.BUSY:
            busy.append(connection_id)
        elif verdict is Delivery.TOO_LARGE:
            rt.log.error(
                "message too large", type=outgoing.type, ref=outgoing.ref, bytes=len(outgoing.data)
            )
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


def _is_surrounded(rt: Runtime) -> bool:
    return rt.implemented("streamer_deliver") > 1  # the core's own is one


def _send_all(rt: Runtime, outgoing: Outgoing, connections: Sequence[str]) -> dict[str, Delivery]:
    # A surrounding plugin sees each connection; without one the transport takes all at once.
    if _is_surrounded(rt):
        return {one: _send_one(rt, outgoing, one) for one in connections}
    try:
        return dict(rt.transport.send_many(connections, outgoing.data))
    except Exception:
        # TransportError where it is a good transport; a bad one must not cost the request either.
        rt.log.exception("transport failed", type=outgoing.type, ref=outgoing.ref)
        return dict.fromkeys(connections, Delivery.BUSY)


def _send_one(rt: Runtime, outgoing: Outgoing, connection_id: str) -> Delivery:
    try:
        verdict = rt.hook.streamer_deliver(update=outgoing, connection=connection_id)
    except Exception:
        rt.log.exception("delivery failed", type=outgoing.type, connection_id=connection_id)
        return Delivery.BUSY
    if isinstance(verdict, Delivery):
        return verdict
    rt.log.error("streamer_deliver gave no Delivery", given=repr(verdict))
    return Delivery.BUSY


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
    with log.about(about.message, connection):
        rt.tell("streamer_on_disconnect", connection=connection, reason=reason)
        rt.measure("connection.closed", tags={"reason": known})


def send_stored(
    rt: Runtime, request: Request, connections: Iterable[str], *, after: int
) -> dict[str, int]:
    """Send what is stored after a `seq`; give those still behind, and the last `seq` they took.

    A connection that is busy is left alone from there on, so that it gets nothing out of order.
    """
    behind: dict[str, int] = {}
    current = list(connections)
    while current and (page := rt.store.updates(request.ref, after=after, limit=_PAGE)):
        for stored in page:
            busy = send(rt, encode.update(request.id, request.ref, stored), current)
            behind.update(dict.fromkeys(busy, stored.seq - 1))
            current = [one for one in current if one not in behind]
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
