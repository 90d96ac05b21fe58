"""One running handler as its worker sees it: its time, its reasons to stop, and who settles it."""

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import copy_context
from typing import Any, TypeVar

from streamer_core.context import Context, ContinueLater
from streamer_core.engine import topics
from streamer_core.engine.outcome import (
    Cancelled,
    Done,
    Failed,
    GiveBack,
    Lost,
    Outcome,
    failure_of,
)
from streamer_core.engine.pulse import Running
from streamer_core.engine.runtime import Runtime
from streamer_core.errors import CircuitOpen, HandlerTimeout, Refused, Reject
from streamer_core.hooks import inside
from streamer_core.model.call import Call
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.message import Mode
from streamer_core.model.principal import Principal

T = TypeVar("T")

_CIRCUIT_WAIT_MS = 5_000


class Execution(Running):
    """A run that is looked at by the pulse; its context reports here."""

    ended = False
    """Whether its handler has; whoever ran it settles it soon."""

    def __init__(self, rt: Runtime, handler: HandlerSpec, principal: Principal, timeout_ms: int):
        self.rt = rt
        self.handler = handler
        self.principal = principal
        self.attempt = 1
        self._lock = threading.Lock()
        self._stop: str | None = None
        self._stopped_at = 0.0
        self._interrupt: Callable[[], None] | None = None
        self._settled = False
        self._inside = copy_context()
        self.began = rt.clock.monotonic()
        self._deadline = self.began + timeout_ms / 1000
        self.deadline_at = rt.clock.now() + timeout_ms

    # -- what a context asks

    @property
    def stop_reason(self) -> str | None:
        """Why the handler should stop."""
        return self._stop

    def remaining_s(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self._deadline - self.rt.clock.monotonic())

    def publish(self, topic: str, data: Any) -> None:
        """Send an event to a topic's subscribers."""
        topics.publish(self.rt, self.principal, topic, data)

    def circuit(self, name: str) -> AbstractContextManager[Any] | None:
        """Give a dependency's guard."""
        guard: AbstractContextManager[Any] | None = self.rt.hook.streamer_circuit(
            name=name, deadline=self.deadline_at
        )
        return guard

    # -- logging

    def entered(self) -> None:
        """Remember what plugins have bound to log lines, ids of a trace for one."""
        self._inside = copy_context()

    def inside(self, call: Callable[..., T], *given: Any) -> T:
        """Call with what log lines of the handler are bound to: it may have ended since."""
        return self._inside.copy().run(call, *given)

    # -- stopping and settling

    def stop(self, reason: str) -> None:
        """Ask the handler to stop; the first reason stays."""
        with self._lock:
            if self._stop is not None:
                return
            self._stop = reason
            self._stopped_at = self.rt.clock.monotonic()
            interrupt = self._interrupt
        if interrupt is not None:
            interrupt()

    def on_stop(self, interrupt: Callable[[], None] | None) -> None:
        """Remember what interrupts the run; used at once where it was asked to stop before."""
        with self._lock:
            self._interrupt = interrupt
            stopped = self._stop is not None
        if stopped and interrupt is not None:
            interrupt()

    def take(self) -> bool:
        """Claim the right to settle: True for the first who asks."""
        with self._lock:
            settled, self._settled = self._settled, True
        return not settled

    @property
    def settled(self) -> bool:
        """Whether somebody has settled it."""
        return self._settled

    @property
    def is_zombie(self) -> bool:
        """Whether it was settled while its handler still runs."""
        return self._settled and not self.ended

    def overdue(self, now: float) -> bool:
        """Tell whether its time is up; asks it to stop if so."""
        if now < self._deadline:
            return False
        self.stop("timeout")
        return self._stop == "timeout"

    def stopping_since(self, reason: str) -> float | None:
        """Monotonic seconds since when it was asked to stop for this reason, or None."""
        return self._stopped_at if self._stop == reason else None

    def failed(self, error: BaseException) -> Failed:
        """Describe an error as this run's failure."""
        return Failed(
            failure=failure_of(
                error,
                attempt=self.attempt,
                at=self.rt.clock.now(),
                worker=self.rt.worker,
                handler=self.handler,
            )
        )


def call_handler(execution: Execution, call: Call) -> Outcome:
    """Run the handler through the hooks and say what became of it. Raises nothing."""
    error: BaseException | None = None
    value: Any = None
    try:
        value = _run(execution.rt.hook, call)
    except BaseException as raised:  # noqa: BLE001 - a handler may raise anything, SystemExit too
        error = raised
    context: Context = call.context
    if execution.stop_reason and (error is not None or context.saw_stop):
        return _stopped(execution, execution.stop_reason)
    if error is None:
        return Done(value=value)
    if isinstance(error, ContinueLater):
        return _continued(execution, call, error)
    if isinstance(error, CircuitOpen) and call.mode is Mode.ASYNC:
        return GiveBack(delay_ms=error.retry_after_ms or _CIRCUIT_WAIT_MS)
    execution.inside(_log_failure, context, error)
    return execution.failed(error)


def _run(hook: Any, call: Call) -> Any:
    around = hook.streamer_around_call(call=call)
    if not around:
        return hook.streamer_execute(call=call)
    return inside(around, lambda: hook.streamer_execute(call=call))


def _stopped(execution: Execution, reason: str) -> Outcome:
    if reason == "cancel":
        return Cancelled()
    if reason == "drain":
        return GiveBack()
    if reason == "lost":
        return Lost()
    return execution.failed(HandlerTimeout(f"{execution.handler.action} outlived its timeout"))


def _continued(execution: Execution, call: Call, later: ContinueLater) -> Outcome:
    if call.mode is Mode.ASYNC:
        return GiveBack(state=later.state, delay_ms=later.delay_ms)
    return execution.failed(RuntimeError("continue_later is for queued requests only"))


def _log_failure(context: Context, error: BaseException) -> None:
    log = context.log
    if isinstance(error, Reject | Refused):
        log.info("handler rejected the request", error=type(error).__qualname__)
    else:
        log.error("handler failed", exc_info=error)


def context_of(
    execution: Any,
    *,
    request_id: str,
    ref: str,
    metadata: Mapping[str, str],
    attempt: int = 1,
    restored: Any = None,
) -> Context:
    """Make the context that reports to an execution."""
    return Context(
        execution,
        request_id=request_id,
        ref=ref,
        action=execution.handler.action,
        principal=execution.principal,
        attempt=attempt,
        metadata=metadata,
        deadline=execution.deadline_at,
        restored=restored,
    )
