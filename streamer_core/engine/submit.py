"""A handler's action: through the gates, then run at once or stored for a worker."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from streamer_core.engine import at_once
from streamer_core.engine.enqueue import surrounded, with_metadata
from streamer_core.engine.received import Received
from streamer_core.engine.runtime import Runtime
from streamer_core.errors import (
    Duplicate,
    Invalid,
    ItemTooLarge,
    LimitReached,
    QuotaExceeded,
    StoreError,
    TooLarge,
)
from streamer_core.model import encode
from streamer_core.model.call import Outgoing, Resource
from streamer_core.model.codec import canonical
from streamer_core.model.connection import Connection
from streamer_core.model.counter import Count
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.ids import ref_of
from streamer_core.model.message import Message, Mode, Priority
from streamer_core.model.policy import Slot
from streamer_core.model.principal import Principal
from streamer_core.model.request import Request
from streamer_core.ports import Enqueued, Enqueuing
from streamer_core.records import record
from streamer_core.registry import Registered


@record
class Storing:
    """A request that has passed the gates, and is to be stored."""

    message: Message
    enqueuing: Enqueuing


def submit(
    rt: Runtime, connection: Connection, message: Message, registered: Registered
) -> Received | Storing:
    """Take a request: answer it, or give what is to be stored of it.

    Raises:
        Refused: a gate says no, the payload does not fit, or the store has no room for it.
    """
    spec, principal = registered.spec, connection.principal
    hook = rt.hook
    resource = Resource(kind="action", name=spec.action, handler=spec, message=message)
    hook.streamer_limit(principal=principal, connection=connection, request=message)
    hook.streamer_authorize(principal=principal, verb="call", resource=resource)
    if message.options.priority is Priority.HIGH:
        hook.streamer_authorize(principal=principal, verb="priority", resource=resource)
    payload = registered.validate(message.payload)
    mode = _mode(rt, message, spec)
    counts = gathered(
        hook.streamer_admit(
            principal=principal, connection=connection, request=message, handler=spec, mode=mode
        )
    )
    rt.tell("streamer_on_request", request=message, handler=spec, mode=mode)
    if mode is Mode.SYNC and not spec.idempotent:
        if counts:
            return _counted(
                rt, counts, lambda: at_once.answer(rt, connection, message, spec, payload)
            )
        return at_once.answer(rt, connection, message, spec, payload)
    request = with_metadata(rt, _record(rt, connection, message, spec, payload, counts))
    if mode is Mode.SYNC:
        return at_once.answer_once(rt, connection, _enqueue_claimed(rt, request, counts))
    return Storing(message=message, enqueuing=Enqueuing(request=request, counts=taken_of(counts)))


def acknowledge(rt: Runtime, storing: Storing, answer: Enqueued | Exception) -> Received:
    """Say what the store made of a request.

    Raises:
        Refused: there is no room for it, or its id is another's.
        StoreError: the store failed.
    """
    enqueued = _accepted(rt, storing.enqueuing.request, answer, storing.enqueuing.counts)
    return Received(frames=_frames(acknowledged(rt, enqueued)))


def gathered(answers: Sequence[Sequence[Count] | None]) -> list[Count]:
    """Put together what the plugins have given to count."""
    return [count for counts in answers if counts for count in counts]


def taken_of(counts: Sequence[Count]) -> list[Count]:
    """Give those that are taken when something is let in."""
    return [count for count in counts if not count.settles]


def settled_of(counts: Sequence[Count]) -> tuple[Count, ...]:
    """Give those that are settled at its end."""
    return tuple(count for count in counts if count.settles)


def _counted(rt: Runtime, counts: Sequence[Count], answer: Callable[[], Received]) -> Received:
    """Apply what admission counts to a request that is not stored: before it, and at its end."""
    if taken := taken_of(counts):
        counted = rt.store.count(taken)
        if counted.refused is not None:
            level = counted.levels[taken.index(counted.refused)]
            raise no_room(rt, counted.refused, level, counted.retry_after_ms)
    began = rt.clock.monotonic()
    received = Received()
    try:
        received = answer()
    finally:
        if settled := settled_of(counts):
            seconds = rt.clock.monotonic() - began
            out_bytes = sum([len(frame) for frame in received.frames])
            _settle(
                rt,
                [one.whole(seconds=seconds, updates=1, out_bytes=out_bytes) for one in settled],
            )
    return received


def _settle(rt: Runtime, counts: Sequence[Count]) -> None:
    try:
        rt.store.count(counts)
    except StoreError:  # the request is answered all the same
        rt.log.exception("counts could not be settled", keys=[count.key for count in counts])


def no_room(rt: Runtime, count: Count, level: float, retry_after_ms: int | None) -> QuotaExceeded:
    """Say which quota is used up; of its key only the kind is told: the rest is not the client's.

    `resets_at` is when the counter is forgotten; None: it sinks when what it counts has ended.
    """
    resets_at = count.expires_at
    if retry_after_ms is None and resets_at is not None:
        retry_after_ms = max(0, resets_at - rt.clock.now())
    quota = count.key.partition("/")[0]
    return QuotaExceeded(
        f"There is no room left in the quota {quota}",
        details={"quota": quota, "limit": count.limit, "used": level, "resets_at": resets_at},
        retry_after_ms=retry_after_ms,
    )


def refused_by(rt: Runtime, error: LimitReached, counts: Sequence[Count]) -> QuotaExceeded:
    """Say what a store's refusal means to the client."""
    known = (one for one in counts if one.key == error.key and one.limit is not None)
    count = next(known, Count(key=error.key))
    return no_room(rt, count, error.level, error.retry_after_ms)


def _mode(rt: Runtime, message: Message, spec: HandlerSpec) -> Mode:
    mode = Mode(rt.hook.streamer_route(request=message, handler=spec))
    if mode is Mode.SYNC and spec.estimated_ms > rt.settings.sync_limit:
        raise Invalid.field(
            "options.mode", f"{spec.action} takes too long to be answered at once; ask for async"
        )
    if mode is Mode.SYNC and message.options.delay_ms:
        raise Invalid.field("options.delay_ms", "a request answered at once cannot wait")
    return mode


def _record(  # noqa: PLR0917 - all of them make the record
    rt: Runtime,
    connection: Connection,
    message: Message,
    spec: HandlerSpec,
    payload: Any,
    counts: Sequence[Count],
) -> Request:
    principal, now = connection.principal, rt.clock.now()
    return Request(
        ref=ref_of(principal.tenant, principal.user, message.id),
        id=message.id,
        action=spec.action,
        tenant=principal.tenant,
        user=principal.user,
        scopes=principal.scopes,
        payload=message.payload,
        metadata=message.metadata,
        digest=digest_of(spec.action, message.payload),
        priority=message.options.priority,
        connection_id=connection.id,
        policy=spec.policy,
        slots=slots_of(spec, payload, principal),
        settle=settled_of(counts),
        created_at=now,
        due_at=now + message.options.delay_ms,
    )


def digest_of(action: str, payload: Any) -> str:
    """Hash what must be the same for a repeat to be the same request."""
    return hashlib.sha256(canonical([action, payload]).encode()).hexdigest()


def slots_of(spec: HandlerSpec, payload: Any, principal: Principal) -> tuple[Slot, ...]:
    """Name the room that a request of this handler needs while it runs."""
    if spec.concurrency is None:
        return ()
    key = spec.concurrency.key
    share = f"/{key(payload, principal)}" if key else ""
    return (Slot(key=f"handler/{spec.action}{share}", at_most=spec.concurrency.at_most),)


def _accepted(
    rt: Runtime, request: Request, enqueued: Enqueued | Exception, counts: Sequence[Count]
) -> Enqueued:
    if isinstance(enqueued, LimitReached):
        raise refused_by(rt, enqueued, counts)
    if isinstance(enqueued, ItemTooLarge):
        raise TooLarge("The request is larger than can be stored")
    if isinstance(enqueued, Exception):
        raise enqueued
    if enqueued.created:
        after = enqueued.request.status
        rt.tell("streamer_on_transition", request=enqueued.request, before=None, after=after)
        rt.measure("request.accepted", tags={"action": request.action})
    elif enqueued.request.digest != request.digest:
        raise Duplicate("The id names a request with another action or payload")
    return enqueued


def _enqueue_claimed(rt: Runtime, request: Request, counts: Sequence[Count]) -> Enqueued:
    timeout = min(request.policy.timeout_ms, rt.sync_limit)
    # No subscription: the answer goes to the connection as a response.
    claimed = replace(
        request, connection_id=None, policy=replace(request.policy, timeout_ms=timeout)
    )
    lease_until = rt.clock.now() + rt.settings.lease
    taken = taken_of(counts)
    answer: Enqueued | Exception
    try:
        (answer,) = surrounded(
            rt,
            [claimed],
            lambda: [
                rt.store.enqueue(claimed, counts=taken, worker=rt.worker, lease_until=lease_until)
            ],
        )
    except StoreError as error:
        answer = error
    return _accepted(rt, claimed, answer, taken)


def acknowledged(rt: Runtime, enqueued: Enqueued) -> list[Outgoing]:
    """Say that it is stored; for a repeat where it stands, and its end where it has one."""
    request = enqueued.request
    text = "Stored" if enqueued.created else "Known already"
    messages = [encode.acknowledgment(rt.clock.now(), request, text)]
    return messages + encode.end(request)


def _frames(messages: Sequence[Outgoing]) -> tuple[bytes, ...]:
    return tuple(message.data for message in messages)
