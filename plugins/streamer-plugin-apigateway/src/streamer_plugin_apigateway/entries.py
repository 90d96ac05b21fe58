"""The Lambda functions: what AWS calls, one entry each.

`lambdas/*/handler.py` re-export them, and make the application when they are imported: that is when
Lambda gives a function most time for it, and what a snapshot holds. A process keeps it for all its
invocations.
"""

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from streamer_core import Streamer
from streamer_core.errors import Refused, StorageFailed, StoreError
from streamer_core.log import get_logger
from streamer_core.model import encode
from streamer_core.model.decode import request_id_of
from streamer_core.ports import Change, Delivery
from streamer_plugin_apigateway import errands, events, wakes
from streamer_plugin_apigateway.events import Answer, Event

_MARGIN_MS = 10_000
"""How long before its invocation ends a worker begins to end what it runs."""

_ANSWER_MARGIN_S = 2.0
"""How long before its invocation ends a router gives a handler up: API Gateway has waited longer
than the invocation lasts, for the start of its process."""

_POSTING_S, _STEP_S = 10.0, 0.05
"""How long a router tries to have a client take what comes before its answer, for which API Gateway
waits 29 s; and the pauses between."""


@lru_cache
def application(*, handlers: bool = True) -> Streamer:
    """Give this process's application; without handlers, for functions that run none.

    Where it is made for a snapshot, each copy that is restored takes a name of its own, and random
    numbers of its own. Nothing else in it must be made anew: a start opens no socket, and ids and
    jitter come from the system.
    """
    app = Streamer.start(load_handlers=handlers)
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        from snapshot_restore_py import register_after_restore  # noqa: PLC0415 - Lambda brings it

        register_after_restore(app.rename)
    return app


def connect(event: Event, _: Any = None) -> Answer:
    """`$connect`: let a client in, or refuse it."""
    return connected(application(handlers=False), event)


def disconnect(event: Event, _: Any = None) -> Answer:
    """`$disconnect`: forget a client. API Gateway tells of it as a rule, and not always."""
    return disconnected(application(handlers=False), event)


def router(event: Event, context: Any = None) -> Answer:
    """`$default`: take a message; its last frame is the answer, those before it are posted."""
    app = application()
    with _answering_in_time(app, context):
        return routed(app, event)


def connected(app: Streamer, event: Event) -> Answer:
    """Let a client in, or refuse it."""
    handshake = events.handshake_of(event, allow_query_token=app.settings.core.allow_query_token)
    with _flushed(app):
        try:
            app.connect(handshake)
        except Refused as error:
            return events.refused(error)
    return events.accepted(handshake)


def disconnected(app: Streamer, event: Event) -> Answer:
    """Forget a client."""
    with _flushed(app):
        app.disconnect(events.connection_id_of(event), events.reason_of(event))
    return events.OK


def routed(app: Streamer, event: Event) -> Answer:
    """Take a message."""
    with _flushed(app):
        return _answered(app, event)


def _answered(app: Streamer, event: Event) -> Answer:
    connection_id, data = events.connection_id_of(event), events.message_of(event)
    try:
        connection = app.store.get_connection(connection_id)
    except StoreError:
        get_logger().exception("store failed")
        return _refused(app, data, StorageFailed("The connection could not be read"))
    received = app.receive(connection, data)
    *before, last = received.frames or (b"",)
    if received.close is not None:
        before, last = [*before, last], b""
    _post(app, connection_id, before)
    if received.close is not None:
        app.transport.close_connection(connection_id, *received.close)
    return events.told(last) if last else events.OK


def _post(app: Streamer, connection_id: str, frames: Sequence[bytes]) -> None:
    """Post frames in order, each until it is taken.

    A client that misses one asks again for what it knows that it lacks; it knows that by the last.
    """
    end = time.monotonic() + _POSTING_S
    for frame in filter(None, frames):
        while (verdict := _posted(app, connection_id, frame)) is Delivery.BUSY:
            if time.monotonic() >= end:
                return
            time.sleep(_STEP_S)
        if verdict is Delivery.GONE:
            return


def _posted(app: Streamer, connection_id: str, frame: bytes) -> Delivery:
    """Post one frame; one that fails counts as not taken."""
    return app.transport.send_many([connection_id], frame)[connection_id]


def _refused(app: Streamer, data: bytes, error: Refused) -> Answer:
    return events.told(encode.refused(app.clock.now(), request_id_of(data), error).data)


def processor(event: Event, _: Any = None) -> Answer:
    """Read a batch of the requests' stream: wake whoever is due. It runs nothing itself.

    A record that cannot be read is parked, and holds up none behind it. One that could not even be
    parked is given back: Lambda brings it, and those after it, again.
    """
    app = application(handlers=False)
    with _flushed(app):
        return _processed(app, event["Records"])


def _processed(app: Streamer, records: Sequence[Event]) -> Answer:
    for record in records:
        try:
            change = app.store.change_of(record)
        except ValueError as error:
            get_logger().error("a stream record cannot be read", record=_keys(record))
            if not app.park(record, str(error)):
                return _given_back(record)
            continue
        if change is not None:
            _wake(app, change)
    return {"batchItemFailures": []}


def _wake(app: Streamer, change: Change) -> None:
    try:
        app.wake(change)
    except Exception:  # noqa: BLE001 - as one that cannot be read, it may hold up none
        # The sweeper makes it good; Lambda would bring all the others again with it.
        get_logger().exception("a change could not be acted on", ref=change.ref)


def worker(event: Event, context: Any = None) -> Answer:
    """Run one request for each wake: whoever's turn it is, else the one it was woken for."""
    app = application()
    with _flushed(app), _ending_in_time(app, context):
        for change in wakes.woken_for(event):
            _work(app, change)
    return {}


def notifier(event: Event, _: Any = None) -> Answer:
    """Send an event of a topic to those of its subscribers that the invocation names."""
    app = application(handlers=False)
    with _flushed(app):
        app.send(*errands.decoded(event))
    return {}


def sweeper(_: Event, __: Any = None) -> Mapping[str, int]:
    """Make a round of the sweeper, each minute."""
    app = application(handlers=False)
    with _flushed(app):
        swept = asdict(app.sweep())
    get_logger().info("swept", **swept)
    return swept


def _work(app: Streamer, change: Change) -> None:
    lanes = app.settings.core.lanes
    if change.lane not in lanes and app.hooks.hook.streamer_dispatch(change=change):
        return  # a timer woke this function for a lane of another
    if not app.work():
        # The index by which it is found may not have it yet.
        app.run(change.ref)


def _given_back(record: Event) -> Answer:
    number = record["dynamodb"]["SequenceNumber"]
    return {"batchItemFailures": [{"itemIdentifier": number}]}


def _keys(record: Event) -> str:
    """Give what of a record may be logged: which one it is, not what is in it."""
    parts = record.get("dynamodb") or {} if isinstance(record, dict) else {}
    return json.dumps([parts.get("SequenceNumber"), parts.get("Keys")], default=str)


@contextmanager
def _flushed(app: Streamer) -> Iterator[None]:
    """Have plugins send on what they gathered: Lambda freezes the process after its event."""
    try:
        yield
    finally:
        app.flush()


@contextmanager
def _answering_in_time(app: Streamer, context: Any) -> Iterator[None]:
    """Have a handler that takes too long given up while its client can still be told."""
    if context is not None:
        left_s = context.get_remaining_time_in_millis() / 1000
        margin_s = min(_ANSWER_MARGIN_S, left_s / 4)
        app.runtime.answer_by = app.clock.monotonic() + left_s - margin_s
    try:
        yield
    finally:
        app.runtime.answer_by = None


@contextmanager
def _ending_in_time(app: Streamer, context: Any) -> Iterator[None]:
    """Have what still runs given back before the invocation ends: it goes on in a later one."""
    if context is None:
        yield
        return
    left_ms = context.get_remaining_time_in_millis()
    margin_ms = min(_MARGIN_MS, left_ms / 4)
    timer = threading.Timer((left_ms - margin_ms) / 1000, app.drain, [margin_ms / 2000])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # a drain that goes on would be the next invocation's
        app.runtime.draining.clear()
