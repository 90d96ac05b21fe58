"""Writing down what became of a claimed request, and telling whoever follows it.

Whoever `take()`s the execution settles it: the handler's thread, or the pulse without it. The store
lets only one terminal write through; a worker that lost its lease writes nothing.
"""

import time

from streamer_core.context import KEEP
from streamer_core.engine.outcome import Cancelled, Done, Failed, GiveBack, Lost, Outcome
from streamer_core.engine.report import StoredExecution
from streamer_core.engine.runtime import Runtime
from streamer_core.engine.verdict import verdict
from streamer_core.errors import Conflict, LostLease, TooLarge, Unserializable
from streamer_core.model import encode
from streamer_core.model.policy import Again
from streamer_core.model.request import Failure, Request, Status
from streamer_core.model.update import Kind, NewUpdate
from streamer_core.ports import Store

_ENVELOPE_BYTES = 512
_BUSY_WAIT_S = 1.0
_BUSY_STEP_S = 0.05


def settle(execution: StoredExecution, outcome: Outcome) -> None:
    """Write the outcome of a run.

    Raises:
        StoreError: it could not be written: the lease will lapse and the sweeper take over.
    """
    try:
        _settle(execution, outcome)
    except LostLease:
        execution.stop("lost")
        execution.rt.log.warning(
            "lease lost before the end", ref=execution.request.ref, fence=execution.request.fence
        )


def _settle(execution: StoredExecution, outcome: Outcome) -> None:
    match outcome:
        case Done(value=value):
            _complete(execution, value)
        case Failed(failure=failure):
            _fail(execution, failure)
        case Cancelled():
            _cancel(execution)
        case GiveBack():
            _give_back(execution, outcome)
        case Lost():
            pass


def cancelled_update(attempt: int, now: int) -> NewUpdate:
    """Make the terminal message of a cancelled request."""
    body = {"error": encode.error_body("CANCELLED", "The request was cancelled")}
    return NewUpdate(kind=Kind.ERROR, attempt=attempt, body=body, at=now)


def failed_update(failure: Failure, now: int) -> NewUpdate:
    """Make the terminal message of a failed request."""
    body = {"error": encode.failure_body(failure)}
    return NewUpdate(kind=Kind.ERROR, attempt=failure.attempt, body=body, at=now)


def _complete(execution: StoredExecution, value: object) -> None:
    try:
        result = encode.plain(value)
    except ValueError as error:
        return _fail(execution, execution.failed(Unserializable(f"result: {error}")).failure)
    limit = execution.rt.settings.max_message_bytes
    if len(encode.encode(result)) + _ENVELOPE_BYTES > limit:
        too_large = TooLarge("The result is larger than a message may be")
        return _fail(execution, execution.failed(too_large).failure)
    terminal = NewUpdate(
        kind=Kind.COMPLETE,
        attempt=execution.attempt,
        body={"result": result},
        at=execution.rt.clock.now(),
    )
    return _finish(execution, Status.COMPLETED, terminal)


def _fail(execution: StoredExecution, failure: Failure) -> None:
    rt, request = execution.rt, execution.request
    answer = verdict(rt, request, failure)
    if isinstance(answer, Again) and execution.stop_reason != "cancel":
        _retry(execution, failure, answer.delay_ms)
    else:
        terminal = failed_update(failure, rt.clock.now())
        _finish(execution, Status.FAILED, terminal, failure)


def _cancel(execution: StoredExecution) -> None:
    terminal = cancelled_update(execution.attempt, execution.rt.clock.now())
    _finish(execution, Status.CANCELLED, terminal)


def _retry(execution: StoredExecution, failure: Failure, delay_ms: int) -> None:
    rt, request = execution.rt, execution.request
    due_at = rt.clock.now() + delay_ms
    execution.forget_buffered()
    snapshot = execution.retrying(due_at)
    try:
        rt.store.requeue(
            request.ref,
            fence=request.fence,
            due_at=due_at,
            spend=True,
            progress=snapshot,
            failure=failure,
        )
    except Conflict:  # it was asked to stop in the meantime
        return _cancel(execution)
    execution.send_progress(snapshot)
    rt.measure("request.retried", tags={"action": request.action, "code": failure.code})
    return _moved(rt, request, Status.RETRYING)


def _give_back(execution: StoredExecution, outcome: GiveBack) -> None:
    rt, request = execution.rt, execution.request
    state = Store.unchanged
    if outcome.state is KEEP:
        execution.forget_buffered()
    else:
        try:
            state = encode.plain(outcome.state)
        except ValueError as error:
            unwritable = Unserializable(f"continue_later: {error}")
            return _fail(execution, execution.failed(unwritable).failure)
    execution.settle_doubt()
    chunks, snapshot = execution.buffered()
    unsent = execution.unsent()
    try:
        held = rt.store.requeue(
            request.ref,
            fence=request.fence,
            due_at=rt.clock.now() + outcome.delay_ms,
            spend=False,
            updates=chunks,
            checkpoint=state,
            progress=snapshot,
        )
    except Conflict:
        return _cancel(execution)
    execution.learn(held)
    if unsent is not None:
        execution.send_progress(unsent)
    execution.send_updates(chunks, held.last_seq)
    execution.mark_sent(rt.clock.monotonic())
    return _moved(rt, request, Status.PENDING)


def _finish(
    execution: StoredExecution,
    status: Status,
    terminal: NewUpdate,
    failure: Failure | None = None,
) -> None:
    rt, request = execution.rt, execution.request
    execution.settle_doubt()
    chunks, snapshot = execution.buffered()
    unsent = execution.unsent()
    held = rt.store.finish(
        request.ref,
        status,
        [*chunks, terminal],
        fence=request.fence,
        expires_at=rt.clock.now() + rt.settings.keep,
        progress=snapshot,
        failure=failure,
    )
    execution.learn(held)
    if unsent is not None:
        execution.send_progress(unsent)
    execution.send_updates([*chunks, terminal], held.last_seq)
    _moved(rt, request, status)
    if failure is not None:
        rt.tell("streamer_on_dead_letter", request=request, failure=failure)
    _see_off(execution)


def _see_off(execution: StoredExecution) -> None:
    """Wait a little for slow connections; what they still lack the sweeper sends."""
    waited = 0.0
    while execution.behind and waited < _BUSY_WAIT_S:
        time.sleep(_BUSY_STEP_S)
        waited += _BUSY_STEP_S
        execution.catch_up()
    execution.mark_sent(execution.rt.clock.monotonic())


def _moved(rt: Runtime, request: Request, after: Status) -> None:
    rt.tell("streamer_on_transition", request=request, before=Status.PROCESSING, after=after)
    if after.terminal:
        tags = {"action": request.action, "outcome": after.value.lower()}
        rt.measure("request.ended", tags=tags)
        age = max(0, rt.clock.now() - request.created_at)
        rt.measure("request.age", age, "ms", tags)
