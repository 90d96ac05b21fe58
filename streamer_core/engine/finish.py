"""Ending requests: one write makes many ends durable, one send brings them to their clients.

```
finish       store all ends together ──> send the messages ──> tell observers
see_off      wait a little for clients that are busy; what they still lack the sweeper sends
```
Whoever calls `finish` holds the `writing()` of each execution and has taken it.
"""

import time
from collections.abc import Sequence

from streamer_core.engine import deliver
from streamer_core.engine.report import StoredExecution
from streamer_core.engine.runtime import Runtime
from streamer_core.errors import LostLease, StoreError
from streamer_core.model.call import Outgoing
from streamer_core.model.request import Failure, Request, Snapshot, Status
from streamer_core.model.update import NewUpdate
from streamer_core.ports import Ending, Held
from streamer_core.records import record

_BUSY_WAIT_S = 1.0
_BUSY_STEP_S = 0.05


@record
class Finish:
    """An end about to be stored, and the snapshot that is to be sent before it."""

    execution: StoredExecution
    ending: Ending
    unsent: Snapshot | None


def prepared(
    execution: StoredExecution,
    status: Status,
    terminal: NewUpdate,
    failure: Failure | None = None,
) -> Finish:
    """Put together what ends a run, with what it has buffered.

    Raises:
        StoreError: it cannot be found out what an earlier write has done.
    """
    rt, request = execution.rt, execution.request
    execution.settle_doubt()
    chunks, snapshot = execution.buffered()
    ending = Ending(
        ref=request.ref,
        status=status,
        updates=[*chunks, terminal],
        fence=request.fence,
        expires_at=rt.clock.now() + rt.settings.keep,
        progress=snapshot,
        failure=failure,
        known=execution.known(),
    )
    return Finish(execution=execution, ending=ending, unsent=execution.unsent())


def finish(rt: Runtime, finishes: Sequence[Finish]) -> None:
    """Store all ends; then send and tell of those that are stored.

    One that could not be stored is logged: its lease lapses, and the sweeper gives it another try.
    """
    try:
        answers = rt.store.finish_all([one.ending for one in finishes])
    except StoreError as error:
        answers = [error] * len(finishes)
    stored: list[tuple[Finish, Held]] = []
    for one, answer in zip(finishes, answers, strict=True):
        if isinstance(answer, Held):
            stored.append((one, answer))
        else:
            one.execution.inside(_not_stored, one.execution, answer)
    _send(rt, stored)
    for one, _ in stored:
        one.execution.inside(_tell, rt, one)


def _tell(rt: Runtime, one: Finish) -> None:
    moved(rt, one.execution.request, one.ending.status)
    if one.ending.failure is not None:
        dead_lettered(rt, one.execution.request, one.ending.failure)


def _not_stored(execution: StoredExecution, error: StoreError) -> None:
    if isinstance(error, LostLease):
        lose(execution)
    else:
        execution.rt.log.error(
            "outcome could not be stored", ref=execution.request.ref, exc_info=error
        )


def lose(execution: StoredExecution) -> None:
    """Note that somebody else has the request now."""
    execution.stop("lost")
    execution.rt.log.warning(
        "lease lost before the end", ref=execution.request.ref, fence=execution.request.fence
    )


def _send(rt: Runtime, stored: Sequence[tuple[Finish, Held]]) -> None:
    """Send what leads up to each end by itself, and then all ends at once."""
    ends = [one.execution.inside(_lead_up, one, held) for one, held in stored]
    busy = deliver.send_each(rt, [(end, execution.followers.ready) for execution, _, end in ends])
    for (execution, seq, _), those in zip(ends, busy, strict=True):
        execution.followers.fell_behind(those, seq)


def _lead_up(one: Finish, held: Held) -> tuple[StoredExecution, int, Outgoing]:
    execution = one.execution
    execution.learn(held)
    if one.unsent is not None:
        execution.followers.show(one.unsent)
    *before, (seq, end) = execution.followers.messages(one.ending.updates, held.last_seq)
    for number, message in before:
        execution.followers.send(message, number)
    return execution, seq, end


def see_off(rt: Runtime, executions: Sequence[StoredExecution], *, patiently: bool) -> None:
    """Wait a little for slow connections, then note how far everybody has been sent to."""
    waited = 0.0 if patiently else _BUSY_WAIT_S
    while (slow := [one for one in executions if one.followers.behind]) and waited < _BUSY_WAIT_S:
        time.sleep(_BUSY_STEP_S)
        waited += _BUSY_STEP_S
        for one in slow:
            one.inside(one.followers.catch_up)
    now = rt.clock.monotonic()
    for one in executions:
        one.inside(one.mark_sent, now)


def moved(rt: Runtime, request: Request, after: Status) -> None:
    """Tell observers where a run has left its request."""
    rt.tell("streamer_on_transition", request=request, before=Status.PROCESSING, after=after)
    measure_end(rt, request, after)


def measure_end(rt: Runtime, request: Request, after: Status) -> None:
    """Measure the end of a request, where that is how it stands now."""
    if after.terminal:
        tags = {"action": request.action, "outcome": after.value.lower()}
        rt.measure("request.ended", tags=tags)
        rt.measure("request.age", max(0, rt.clock.now() - request.created_at), "ms", tags)


def measure_retry(rt: Runtime, request: Request, failure: Failure) -> None:
    """Measure a failed attempt that another will follow."""
    rt.measure("request.retried", tags={"action": request.action, "code": measured_code(failure)})


def dead_lettered(rt: Runtime, request: Request, failure: Failure) -> None:
    """Tell observers that a request failed for good."""
    rt.tell("streamer_on_dead_letter", request=request, failure=failure)
    tags = {"action": request.action, "code": measured_code(failure)}
    rt.measure("request.dead_lettered", tags=tags)


def measured_code(failure: Failure) -> str:
    """Give a failure's code as a tag: a handler's own have a dot, may be many, and are one here."""
    return "REJECTED" if "." in failure.code else failure.code
