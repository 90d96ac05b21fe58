"""Claim a request, run its handler, settle it."""

from streamer_core.engine import settle
from streamer_core.engine.execution import context_of, run
from streamer_core.engine.outcome import Cancelled, Failed, GiveBack, Outcome, failure_of
from streamer_core.engine.report import StoredExecution
from streamer_core.engine.runtime import Runtime
from streamer_core.errors import HandlerTimeout, Invalid, InvalidAction, StoreError
from streamer_core.model.call import Call
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.message import Mode, Priority
from streamer_core.model.request import Request, Status
from streamer_core.registry import Registered

LANES = (Priority.HIGH, Priority.NORMAL, Priority.LOW)
_UNKNOWN_ACTION_WAIT_MS = 10_000
_unknown = HandlerSpec(action="unknown", call=lambda: None)


def work(rt: Runtime) -> bool:
    """Claim the next due request and run it to its end; False where there was none."""
    if rt.draining.is_set():
        return False
    request = rt.store.claim_next(LANES, worker=rt.worker, lease_until=_lease(rt))
    if request is None:
        return False
    run_claimed(rt, request)
    return True


def run_one(rt: Runtime, ref: str) -> bool:
    """Claim one request by its key and run it; False where it is not to be had now."""
    request = rt.store.claim(ref, worker=rt.worker, lease_until=_lease(rt))
    if request is None:
        return False
    run_claimed(rt, request)
    return True


def _lease(rt: Runtime) -> int:
    return rt.clock.now() + rt.settings.lease


def run_claimed(rt: Runtime, request: Request) -> None:
    """Run a request that this worker holds, and write what became of it."""
    before = Status.RETRYING if request.spent else Status.PENDING
    rt.tell("streamer_on_transition", request=request, before=before, after=Status.PROCESSING)
    rt.measure("request.waited", max(0, rt.clock.now() - request.due_at), "ms")
    registered = rt.registry.get(request.action)
    execution = PulsedExecution(rt, registered.spec if registered else _unknown, request)
    execution.learn_subscribers()
    rt.pulse.add(execution)
    try:
        outcome = _outcome(execution, registered)
        if execution.take():
            with execution.writing():
                settle.settle(execution, outcome)
    except StoreError:
        # Nothing was written, so the lease lapses, and the sweeper gives the request another try.
        rt.log.exception("outcome could not be stored", ref=request.ref)
    finally:
        execution.ended = True
        rt.pulse.remove(execution)


def _outcome(execution: StoredExecution, registered: Registered | None) -> Outcome:
    rt, request = execution.rt, execution.request
    if request.cancel_requested_at is not None:
        return Cancelled()
    if registered is None:
        return _unknown_action(execution)
    try:
        payload = registered.validate(request.payload)
    except Invalid as error:  # the handler has changed since the request was accepted
        return execution.failed(error)
    if request.spent and request.last_seq > request.checkpoint_seq:
        execution.restart()
    call = Call(
        handler=registered.spec,
        principal=request.principal,
        mode=Mode.ASYNC,
        request_id=request.id,
        ref=request.ref,
        attempt=request.attempt,
        metadata=request.metadata,
        payload=payload,
        request=request,
        context=context_of(
            execution,
            request_id=request.id,
            ref=request.ref,
            metadata=request.metadata,
            attempt=request.attempt,
            restored=request.checkpoint,
        ),
        on_stop=execution.on_stop,
    )
    started = rt.clock.monotonic()
    outcome = run(execution, call)
    tags = {"action": request.action, "outcome": type(outcome).__name__.lower()}
    rt.measure("request.executed", (rt.clock.monotonic() - started) * 1000, "ms", tags)
    return outcome


def _unknown_action(execution: StoredExecution) -> Outcome:
    """Wait for a worker that knows the action: old and new code run side by side in a deploy."""
    rt, request = execution.rt, execution.request
    began = request.started_at or request.created_at
    if rt.clock.now() - began < request.policy.max_age_ms:
        return GiveBack(delay_ms=_UNKNOWN_ACTION_WAIT_MS)
    error = InvalidAction("The action is not known any more")
    return Failed(
        failure=failure_of(
            error, attempt=request.attempt, at=rt.clock.now(), worker=rt.worker, handler=None
        )
    )


class PulsedExecution(StoredExecution):
    """A stored execution that the pulse may settle without its handler's thread."""

    def on_overdue(self) -> None:
        """Settle as timed out; the thread that still runs is a zombie until it returns."""
        if self.take():
            error = HandlerTimeout(f"{self.handler.action} outlived its timeout")
            with self.writing():
                settle.settle(self, self.failed(error))

    def tick(self, now: float) -> None:
        """Also settle a cancelled request whose handler does not heed it."""
        super().tick(now)
        since = self.stopping_since("cancel")
        grace = self.rt.settings.cancel_grace / 1000
        if since is not None and now - since >= grace and self.take():
            with self.writing():
                settle.settle(self, Cancelled())

    def release(self) -> None:
        """Give the request back without its handler's thread, as a worker that goes does."""
        if self.take():
            with self.writing():
                settle.settle(self, GiveBack())
