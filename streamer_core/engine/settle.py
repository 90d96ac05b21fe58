"""Writing down what became of claimed requests, and telling whoever follows them.

Whoever `take()`s an execution settles it: the thread of its worker, or the pulse without it. The
store lets only one terminal write through; a worker that lost its lease writes nothing.
"""

from collections.abc import Sequence
from contextlib import ExitStack

from streamer_core.context import KEEP
from streamer_core.engine.finish import (
    Finish,
    finish,
    lose,
    measure_retry,
    moved,
    prepared,
    see_off,
)
from streamer_core.engine.outcome import Cancelled, Done, Failed, GiveBack, Lost, Outcome
from streamer_core.engine.report import StoredExecution
from streamer_core.engine.runtime import Runtime
from streamer_core.engine.verdict import verdict
from streamer_core.errors import Conflict, LostLease, TooLarge, Unserializable
from streamer_core.model import encode
from streamer_core.model.policy import Again
from streamer_core.model.request import Failure, Status
from streamer_core.model.update import Kind, NewUpdate
from streamer_core.ports import Store

_ENVELOPE_BYTES = 512

Settling = tuple[StoredExecution, Outcome]


def settle(rt: Runtime, settlings: Sequence[Settling], *, patiently: bool = True) -> None:
    """Write the outcomes of runs, unless they are settled; whoever is at one is waited for.

    Those that end are stored together and sent together; with `patiently`, clients that are busy
    are waited for a little. What cannot be written is logged: the lease lapses, and the sweeper
    gives the request another try.
    """
    with ExitStack() as held:
        finishes: list[Finish] = []
        for execution, outcome in settlings:
            held.enter_context(execution.writing())
            if execution.take() and (end := execution.inside(_guarded, execution, outcome)):
                finishes.append(end)
        if not finishes:
            return
        finish(rt, finishes)
        see_off(rt, [end.execution for end in finishes], patiently=patiently)


def _guarded(execution: StoredExecution, outcome: Outcome) -> Finish | None:
    try:
        return _end_of(execution, outcome)
    except LostLease:
        lose(execution)
    except Exception:
        execution.rt.log.exception("outcome could not be stored", ref=execution.request.ref)
    return None


def _end_of(execution: StoredExecution, outcome: Outcome) -> Finish | None:
    """Give the end of the request; None where it has not ended, and that is written already."""
    match outcome:
        case Done(value=value):
            return _completed(execution, value)
        case Failed(failure=failure):
            return _failed(execution, failure)
        case Cancelled():
            return _cancelled(execution)
        case GiveBack():
            return _give_back(execution, outcome)
        case Lost():
            return None


def cancelled_update(attempt: int, now: int) -> NewUpdate:
    """Make the terminal message of a cancelled request."""
    body = {"error": encode.error_body("CANCELLED", "The request was cancelled")}
    return encode.new_update(Kind.ERROR, attempt, body, now)


def failed_update(failure: Failure, now: int) -> NewUpdate:
    """Make the terminal message of a failed request."""
    body = {"error": encode.failure_body(failure)}
    return encode.new_update(Kind.ERROR, failure.attempt, body, now)


def _completed(execution: StoredExecution, value: object) -> Finish | None:
    try:
        result, size = encode.plain_and_size(value)
    except ValueError as error:
        return _failed(execution, execution.failed(Unserializable(f"result: {error}")).failure)
    if size + _ENVELOPE_BYTES > execution.rt.settings.max_message_bytes:
        too_large = TooLarge("The result is larger than a message may be")
        return _failed(execution, execution.failed(too_large).failure)
    terminal = NewUpdate(
        kind=Kind.COMPLETE,
        attempt=execution.attempt,
        body={"result": result},
        size=size + len('{"result":}'),
        at=execution.rt.clock.now(),
    )
    return prepared(execution, Status.COMPLETED, terminal)


def _failed(execution: StoredExecution, failure: Failure) -> Finish | None:
    rt, request = execution.rt, execution.request
    answer = verdict(rt, request, failure)
    if isinstance(answer, Again):
        if execution.stop_reason == "cancel":  # it came after the handler had failed
            return _cancelled(execution)
        return _retry(execution, failure, answer.delay_ms)
    return prepared(execution, Status.FAILED, failed_update(failure, rt.clock.now()), failure)


def _cancelled(execution: StoredExecution) -> Finish:
    terminal = cancelled_update(execution.attempt, execution.rt.clock.now())
    return prepared(execution, Status.CANCELLED, terminal)


def _retry(execution: StoredExecution, failure: Failure, delay_ms: int) -> Finish | None:
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
        return _cancelled(execution)
    execution.followers.show(snapshot)
    execution.mark_sent(rt.clock.monotonic())
    measure_retry(rt, request, failure)
    moved(rt, request, Status.RETRYING)
    return None


def _give_back(execution: StoredExecution, outcome: GiveBack) -> Finish | None:
    rt, request = execution.rt, execution.request
    state = Store.unchanged
    if outcome.state is KEEP:
        execution.forget_buffered()
    else:
        try:
            state = encode.plain(outcome.state)
        except ValueError as error:
            unwritable = Unserializable(f"continue_later: {error}")
            return _failed(execution, execution.failed(unwritable).failure)
    execution.settle_doubt()
    chunks, snapshot = execution.buffered()
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
        return _cancelled(execution)
    execution.learn(held)
    if snapshot is not None and execution.unsent() is not None:
        execution.followers.show(snapshot)  # as it is kept: its handler may go on without its lease
    execution.followers.tell(chunks, held.last_seq)
    execution.mark_sent(rt.clock.monotonic())
    moved(rt, request, Status.PENDING)
    return None
