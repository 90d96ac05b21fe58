"""Sync requests: run in the thread that received them, answered on the connection they came from.

They are not stored: progress and chunks are sent as they come, and never again. An idempotent one
is stored as claimed already, so that a repeat is answered from the store and a crash is made good.
"""

import threading
from collections.abc import Sequence
from typing import Any

from streamer_core.engine import deliver
from streamer_core.engine.execution import call_handler
from streamer_core.engine.live import LiveExecution
from streamer_core.engine.received import Received
from streamer_core.engine.runtime import Runtime
from streamer_core.errors import StoreError
from streamer_core.model import encode
from streamer_core.model.call import Outgoing
from streamer_core.model.connection import Connection
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.ids import request_subject
from streamer_core.model.message import Message
from streamer_core.model.request import Request, Status
from streamer_core.ports import Enqueued


def answer(
    rt: Runtime, connection: Connection, message: Message, spec: HandlerSpec, payload: Any
) -> Received:
    """Run the handler now and answer; no frames where the pulse has answered for it."""
    execution = LiveExecution(rt, spec, connection, message)
    rt.pulse.add(execution)
    try:
        outcome = call_handler(execution, execution.call(payload))
    finally:
        execution.ended = True
        rt.pulse.remove(execution)
    if not execution.take():
        return Received(frames=execution.last_word())
    return Received(frames=execution.answer_to(outcome))


def answer_once(rt: Runtime, connection: Connection, enqueued: Enqueued) -> Received:
    """Run an idempotent request now, or answer a repeat from what is stored."""
    saying, said = threading.Lock(), False
    unsaid: list[Outgoing] = []

    def answer_for_it() -> bool:
        # The handler hangs, and this thread with it: the pulse says what became of it.
        nonlocal said
        with saying:
            if not (said or unsaid):
                unsaid.extend(_answer_if_possible(rt, connection, enqueued.request))
            while unsaid and not (said or deliver.send(rt, unsaid[0], [connection.id])):
                del unsaid[0]
                said = not unsaid
        return said

    if enqueued.created:
        from streamer_core.engine import work  # noqa: PLC0415 - only a stored request needs it

        work.run_claimed(rt, enqueued.request, abandoned=answer_for_it)
    with saying:
        if said:
            return Received()
        said = True
    answer = _stored_answer(rt, connection, enqueued.request)
    return Received(frames=tuple(message.data for message in answer))


def _answer_if_possible(
    rt: Runtime, connection: Connection, request: Request
) -> Sequence[Outgoing]:
    try:
        return _stored_answer(rt, connection, request)
    except StoreError:
        rt.log.warning("answer could not be read", ref=request.ref, exc_info=True)
        return ()


def _stored_answer(rt: Runtime, connection: Connection, request: Request) -> list[Outgoing]:
    request = rt.store.get(request.ref) or request
    if not request.status.terminal:
        # Under way elsewhere, or to be tried again: its end will follow on this connection.
        life = connection.expires_at
        rt.store.subscribe(request_subject(request.ref), connection.id, expires_at=life)
        request = rt.store.get(request.ref) or request
    if request.status is Status.COMPLETED:
        result = (request.outcome or {}).get("result")
        return [encode.response(rt.clock.now(), request.id, result)]
    if request.status.terminal:
        return encode.end(request)
    return [encode.acknowledgment(rt.clock.now(), request, "Stored")]
