"""A message's way to its answer, or into the store."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from streamer_core.markers import hookspec
from streamer_core.model.connection import Connection
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.message import Message, Mode
from streamer_core.model.request import Request
from streamer_core.ports import Enqueued


@hookspec
def streamer_around_message(
    request: Message, connection: Connection
) -> AbstractContextManager[Any] | None:
    """Surround the taking of a client's request: its gates, and its answer where it has one.

    Called: once for each message that names a handler, decoded, before `streamer_limit`. A sync
    request is run inside. One that is queued is stored after it, with others that came along:
    `streamer_enqueue`. Not for the framework's own actions, nor while the process drains.
    Answers (surround): all are asked; what they give is entered in the order of the manifests, and
    left in the other. None surrounds nothing.

    Args:
        request: the message; its payload is the client's data: do not log it.
        connection: where it comes from.

    Returns:
        A context manager, for this one message. It learns of a refusal by the Refused that passes
        through; whatever fails inside has become one, and is logged. It must not make it vanish.

    Raises:
        Refused: the client's `error`, also from `__enter__`. Any other error is logged and refuses
            with `INTERNAL_ERROR`.

    Blocks: must not: the answer waits for it.

    Example:
        ```python
        from contextlib import contextmanager

        from streamer_core.markers import hookimpl

        class SlowestPlugin:
            def __init__(self, settings, app):
                self.clock, self.slowest = app.clock, {}

            @hookimpl
            @contextmanager
            def streamer_around_message(self, request):
                began = self.clock.monotonic()
                try:
                    yield
                finally:
                    took = self.clock.monotonic() - began
                    self.slowest[request.action] = max(took, self.slowest.get(request.action, 0))
        ```

    Added in 0.1. Implemented by: otel, xray.
    """


@hookspec(firstresult=True)
def streamer_route(request: Message, handler: HandlerSpec) -> Mode | None:
    """Decide whether a request is answered at once or queued.

    Called: once for each request that passed the gates; and for every handler when a client lists
    `streamer.actions`, with a message that has no payload.
    Answers (decide): the first mode wins. None: not mine. The core, last: the client's
    `options.mode`; a delay is async; the handler's `mode`; async where `estimated` is over
    `async_threshold`.

    Args:
        request: the message; payload valid.
        handler: its specification.

    Returns:
        `Mode.SYNC` or `Mode.ASYNC`. A sync request with a delay, or with an estimate over
        `sync_limit`, is refused with `VALIDATION_ERROR`, whoever decided.

    Raises:
        Refused: the client's `error`. Any other error is logged and refuses with `INTERNAL_ERROR`.

    Blocks: must not; decide from what is at hand.

    Example:
        ```python
        from streamer_core.markers import hookimpl
        from streamer_core.model.message import Mode

        class BigIsSlowPlugin:               # whatever the handler's estimate
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_route(self, request):
                return Mode.ASYNC if request.size > 10_000 else None
        ```

    Added in 0.1. Implemented by: core defaults.
    """


@hookspec
def streamer_metadata(request: Request) -> Mapping[str, str] | None:
    """Give metadata that a new request carries from here on.

    Called: once for each request about to be stored: one that was taken, inside
    `streamer_around_message`; or a dead letter's redrive, whose `redriven_from` is set and whose
    metadata are the old one's. A repeat is asked for too. Not for a sync request that is not
    stored.
    Answers (provide): every plugin is asked. What they give is added to the client's own, and
    replaces what has the same name; of two plugins the first in order wins. None: nothing.

    Args:
        request: the record as it would be stored.

    Returns:
        Names and texts, a few hundred bytes at most. The handler finds them in `ctx.metadata`, and
        every later process in `request.metadata`: no secrets.

    Raises:
        Exception: logged as `plugin failed`; the request is stored without it.

    Blocks: must not: the answer waits for it.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class VersionPlugin:                 # which deploy took it
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_metadata(self, request):
                return {"taken_by": "v42"}
        ```

    Added in 0.1. Implemented by: otel, xray.
    """


@hookspec(firstresult=True)
def streamer_enqueue(
    requests: Sequence[Request], write: Callable[[], Sequence[Enqueued | Exception]]
) -> Sequence[Enqueued | Exception]:
    """Store new requests, in one write where the store can.

    Called: for all that is stored together: what a batch of messages left to be stored, an
    idempotent sync request, a redrive. It is not yet acknowledged.
    Answers (surround): write a `wrapper=True` generator around `yield`; the core calls `write`
    inside.

    Args:
        requests: as they will be stored, with their metadata.
        write: stores them. For the core's implementation: do not call it.

    Returns:
        For each request what the store made of it: `Enqueued`, whose `created` is False for a
        repeat, or why it was not stored. A wrapper gives back what `yield` gave it.

    Raises:
        StoreError: none of them is known to be stored: `STORAGE_ERROR`. Any other error is logged
            and refuses all with `INTERNAL_ERROR`.

    Blocks: must not: their acknowledgments wait for it.

    Example:
        ```python
        from collections import Counter
        from streamer_core.markers import hookimpl

        class BatchesPlugin:
            def __init__(self, settings, app):
                self.sizes = Counter()

            @hookimpl(wrapper=True)
            def streamer_enqueue(self, requests):
                answers = yield
                self.sizes[len(requests)] += 1
                return answers
        ```

    Added in 0.1. Implemented by: core defaults (the write itself), otel.
    """
