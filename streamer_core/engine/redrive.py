"""Starting a failed request again: a new request, and those who followed the old one follow it.

```
redrive      store the new request, `redriven_from` the old       by any process, also a command,
                                                                  which cannot send
introduce    tell the old one's followers, and subscribe them     by whoever runs the new one
refer        the same for one who asks for the old one later      by whoever answers it
```
Whoever runs it introduces it before its handler: no follower can miss its end, however soon.
"""

from streamer_core.engine import deliver
from streamer_core.engine.enqueue import surrounded, with_metadata
from streamer_core.engine.report import StoredExecution
from streamer_core.engine.runtime import Runtime
from streamer_core.errors import Conflict, NotFound, StoreError
from streamer_core.model import encode
from streamer_core.model.call import Outgoing
from streamer_core.model.connection import Connection
from streamer_core.model.ids import ref_of, request_subject
from streamer_core.model.request import Request, Status

_ID_CHARS = 96  # an id may have 128


def redrive(rt: Runtime, ref: str, *, delay_ms: int = 0) -> Request:
    """Store a failed request again as a new one, `redriven_from` the old, due after a delay.

    Raises:
        NotFound: there is no such request.
        Conflict: it has not failed.
    """
    old = rt.store.get(ref)
    if old is None:
        raise NotFound("There is no such request")
    return redrive_record(rt, old, delay_ms=delay_ms)


def redrive_record(rt: Runtime, old: Request, *, delay_ms: int = 0) -> Request:
    """Do the same for the record of a request that may be forgotten by now.

    Raises:
        Conflict: it has not failed.
    """
    if old.status is not Status.FAILED:
        raise Conflict(f"request {old.ref} is {old.status.wire}; only a failed one is redriven")
    now = rt.clock.now()
    new_id = _new_id(old)
    new = Request(
        ref=ref_of(old.tenant, old.user, new_id),
        id=new_id,
        action=old.action,
        tenant=old.tenant,
        user=old.user,
        scopes=old.scopes,
        payload=old.payload,
        metadata=old.metadata,
        digest=old.digest,
        priority=old.priority,
        policy=old.policy,
        slots=old.slots,
        created_at=now,
        due_at=now + delay_ms,
        redriven_from=old.ref,
    )
    request = with_metadata(rt, new)
    (answer,) = surrounded(rt, [request], lambda: [rt.store.enqueue(request)])
    if isinstance(answer, Exception):
        raise answer
    if answer.created:
        rt.tell("streamer_on_transition", request=request, before=None, after=Status.PENDING)
    return answer.request


def _new_id(old: Request) -> str:
    """Give the id of a dead letter's redrive.

    A second redrive of the same dead letter finds the first, by the same id; one of a later request
    of the old id, which is free again once the old one is forgotten, does not.
    """
    return f"{old.id[:_ID_CHARS]}.redrive-{old.ref[-8:]}{old.created_at:x}"


def refer(rt: Runtime, connection: Connection, old: Request) -> list[Outgoing]:
    """Give what tells a connection of a failed request's redrive, where there is one.

    It follows the new one from here on.
    """
    if old.status is not Status.FAILED:
        return []
    new = rt.store.get(ref_of(old.tenant, old.user, _new_id(old)))
    if new is None:
        return []
    rt.store.subscribe(request_subject(new.ref), connection.id, expires_at=connection.expires_at)
    return [_told(rt, new)]


def _told(rt: Runtime, new: Request) -> Outgoing:
    return encode.acknowledgment(rt.clock.now(), new, "Redriven")


def introduce(execution: StoredExecution) -> None:
    """Tell those who follow the old request of the new one, and have them follow it.

    Where the store fails it runs without them: they can still ask for it.
    """
    rt, request = execution.rt, execution.request
    try:
        if newcomers := _newcomers(rt, request):
            message = _told(rt, request)
            for one in newcomers:
                deliver.send_patiently(rt, message, one.id)
                # Only then: a crash in between has it told once more, by the next run.
                subject = request_subject(request.ref)
                rt.store.subscribe(subject, one.id, expires_at=one.expires_at)
            execution.followers.distrust()
    except StoreError:
        rt.log.warning("followers of a redriven request were not told", ref=request.ref)


def _newcomers(rt: Runtime, request: Request) -> list[Connection]:
    followers = rt.store.subscribers(request_subject(request.redriven_from or ""))
    if not followers:
        return []
    told = rt.store.subscribers(request_subject(request.ref))
    found = (rt.store.get_connection(one) for one in followers if one not in told)
    return [connection for connection in found if connection is not None]
