"""The handler's run, and whether another follows."""

from contextlib import AbstractContextManager
from typing import Any

from streamer_core.markers import hookspec
from streamer_core.model.call import Call
from streamer_core.model.policy import Verdict
from streamer_core.model.request import Failure, Request


@hookspec
def streamer_around_call(call: Call) -> AbstractContextManager[Any] | None:
    """Surround the run of a handler, in its thread.

    Called: once for each attempt of a stored request, claimed, its payload valid; once for a sync
    request. Not for one that is cancelled before it begins, or whose payload fits no more.
    Answers (surround): all are asked; what they give is entered in the order of the manifests, and
    left in the other. None surrounds nothing.

    Args:
        call: handler, principal, mode, attempt, validated payload, context, the record (None for a
            sync request).

    Returns:
        A context manager, for this one run. It learns what failed by the error that passes through,
        as `streamer_execute` names them, and must not make it vanish; `streamer_core.outcomes`
        says in a word what became of a run.

    Raises:
        As `streamer_execute`, also from `__enter__`: the handler is not run then.

    Blocks: must not: the handler waits for it, and its timeout goes on.

    Example:
        ```python
        from contextlib import contextmanager

        from streamer_core.markers import hookimpl

        class StopwatchPlugin:
            def __init__(self, settings, app):
                self.clock, self.seconds = app.clock, {}

            @hookimpl
            @contextmanager
            def streamer_around_call(self, call):
                began = self.clock.monotonic()
                try:
                    yield
                finally:
                    self.seconds[call.ref] = self.clock.monotonic() - began
        ```

    Added in 0.1. Implemented by: circuitbreaker, otel, xray, tenancy.
    """


@hookspec(firstresult=True)
def streamer_execute(call: Call) -> Any:
    """Run the handler and give what it returned.

    Called: as `streamer_around_call`, and inside what that has given.
    Answers (surround): write a `wrapper=True` generator around `yield`; the core calls the handler
    inside. One that is no wrapper takes the core's place where it gives something but None; None
    lets the core run the handler, so it must not have been run already.

    Args:
        call: handler, principal, mode, attempt, validated payload, context, the record (None for a
            sync request).

    Returns:
        The handler's value, or another in its place: any value that JSON can hold.

    Raises:
        Reject: the client reads it, no attempt follows. CircuitOpen: an async request waits,
            no attempt spent. ContinueLater (no Exception): the run goes on later: let it pass.
            Another Refused gives its code; anything else is `PROCESSING_FAILED`, logged, and
            `streamer_retry` decides. The engine catches all of them.

    Blocks: as long as the handler runs; its timeout goes on. Add microseconds around it, not I/O.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class EnvelopePlugin:
            def __init__(self, settings, app): ...

            @hookimpl(wrapper=True)
            def streamer_execute(self, call):
                value = yield
                return {"value": value, "attempt": call.attempt}
        ```

    Added in 0.1. Implemented by: core defaults (the call itself).
    """


@hookspec(firstresult=True)
def streamer_retry(request: Request, failure: Failure) -> Verdict | None:
    """Decide whether a failed attempt is followed by another, and when.

    Called: once for each failed attempt of a stored request, before anything of it is written: by
    the worker, by the pulse for a timeout, by the sweeper for a worker that was lost
    (`failure.kind` is `WorkerLost`). A `Reject` is asked for too. Not for sync requests that are
    not stored.
    Answers (decide): the first verdict wins, and is followed as it is: attempts and age are the
    decider's to count. None: not mine. The core, last: gives up where the failure is not retryable,
    or `max_attempts` or `max_age` is reached; else backs off exponentially with full jitter.

    Args:
        request: the record as it was claimed; `policy` holds the handler's rules.
        failure: `attempt`, `code`, `retryable`, `kind` (the exception's class), and its trace: for
            operators, never for clients.

    Returns:
        `Again(delay_ms=…)`: stored as due then; or `GiveUp()`: a dead letter. A request that was
        asked to stop ends as cancelled whatever is said.

    Raises:
        Exception: logged as `streamer_retry failed`; the core's own answer is taken.

    Blocks: must not; the pulse may be waiting.

    Example:
        ```python
        from streamer_core.markers import hookimpl
        from streamer_core.model.policy import Again

        class PatientPlugin:                 # a full disk is mended by people: try for a day
            def __init__(self, settings, app):
                self.clock = app.clock

            @hookimpl
            def streamer_retry(self, request, failure):
                young = self.clock.now() - request.created_at < 86_400_000
                return Again(delay_ms=600_000) if young and "ENOSPC" in failure.trace else None
        ```

    Added in 0.1. Implemented by: core defaults.
    """
