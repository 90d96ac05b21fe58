"""Coming back: what was missed, the newest progress, then live updates. Promise 5.

The subscription is written before the replay is read, so that nothing falls between the two; what
comes twice the client drops by its `seq`.
"""

from collections.abc import Mapping
from typing import Any

from streamer_core.engine import redrive, visible
from streamer_core.engine.runtime import Runtime
from streamer_core.errors import Invalid, Refused
from streamer_core.model import encode
from streamer_core.model.call import Outgoing
from streamer_core.model.connection import Connection
from streamer_core.model.decode import REQUEST_ID
from streamer_core.model.ids import ref_of, request_subject
from streamer_core.model.request import Request

MOST_REQUESTS = 50
PAGE = 200
_MOST_SEQ = 2**53
_PAGE_BYTES = 1024 * 1024


def wanted(value: Any, path: str) -> Mapping[str, int]:
    """Check the map of request id to last `seq`.

    Raises:
        Invalid: it is no such map, or names more than 50 requests.
    """
    if not isinstance(value, dict):
        raise Invalid.field(path, "must be an object of request id to last seq")
    if len(value) > MOST_REQUESTS:
        raise Invalid.field(path, f"may name {MOST_REQUESTS} requests at most")
    for request_id, seq in value.items():
        if not REQUEST_ID.fullmatch(request_id):
            raise Invalid.field(path, "has a name that is no request's id")
        if isinstance(seq, bool) or not isinstance(seq, int) or not 0 <= seq <= _MOST_SEQ:
            raise Invalid.field(f"{path}.{request_id}", "must be a whole number from 0")
    return value


def resume(rt: Runtime, connection: Connection, requests: Mapping[str, int]) -> list[Outgoing]:
    """Give the replay of each request."""
    messages: list[Outgoing] = []
    for request_id, last_seq in requests.items():
        try:
            messages += _one(rt, connection, request_id, last_seq)
        except Refused as error:
            messages.append(encode.refused(rt.clock.now(), request_id, error))
    return messages


def _one(rt: Runtime, connection: Connection, request_id: str, last_seq: int) -> list[Outgoing]:
    principal = connection.principal
    ref = ref_of(principal.tenant, principal.user, request_id)
    visible.find(rt, principal, ref, "resume")
    rt.store.subscribe(request_subject(ref), connection.id, expires_at=connection.expires_at)
    request = visible.find(rt, principal, ref, "resume")
    return [*replay(rt, request, last_seq), *redrive.refer(rt, connection, request)]


def replay(rt: Runtime, request: Request, last_seq: int) -> list[Outgoing]:
    """Give one page of what follows `last_seq`, the newest progress, and what closes the page."""
    now = rt.clock.now()
    messages: list[Outgoing] = []
    reached, size, recovered = last_seq, 0, True
    for update in rt.store.updates(request.ref, after=last_seq, limit=PAGE):
        recovered = recovered and (update.seq == reached + 1)
        messages.append(encode.update(request, request.ref, update))
        reached = update.seq
        size += len(messages[-1].data)
        if size >= _PAGE_BYTES:
            break
    more = reached < request.last_seq and bool(messages)
    if not messages and reached != request.last_seq:
        # All of it has expired, or the client has seen more than there is, as of an older request
        # of that id. It begins anew from the present state.
        recovered, reached = False, request.last_seq
        messages += encode.end(request)
    if not more and request.progress is not None and not request.status.terminal:
        messages.append(encode.progress(now, request, request.ref, request.progress))
    closing = encode.resumed(now, request.id, recovered=recovered, last_seq=reached, more=more)
    return [*messages, closing]
