"""Claim a request, run its handler, settle it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from streamer_core.engine import about, redrive
from streamer_core.engine.execution import call_handler, context_of
from streamer_core.engine.outcome import Cancelled, Failed, GiveBack, Outcome, failure_of
from streamer_core.engine.report import StoredExecution
from streamer_core.engine.runtime import Runtime
from streamer_core.engine.settle import settle
from streamer_core.errors import HandlerTimeout, InvalidAction
from streamer_core.model.call import Call
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.message import Mode
from streamer_core.model.request import Request, Status
from streamer_core.registry import Registered

_UNKNOWN_ACTION_WAIT_MS = 10_000
_unknown = HandlerSpec(action="unknown", call=lambda: None)


class Ran(NamedTuple):
    """A run whose handler has ended; without an outcome it could not even begin."""

    execution: "PulsedExecution"
    outcome: Outcome | None


def work(rt: Runtime) -> bool:
    """Claim the next due request and run it to its end; False where there was none."""
    taken = claim(rt)
    settle_all(rt, [run(rt, request) for request in taken])
    return bool(taken)


def run_one(rt: Runtime, ref: str) -> bool:
    """Claim one request by its key and run it; False where it is not to be had now."""
    if rt.draining.is_set():
        return False
    request = rt.store.claim(ref, worker=rt.worker, lease_until=_lease(rt))
    if request is None:
        return False
    settle_all(rt, [run(rt, request)])
    return True


def claim(rt: Runtime, at_most: int = 1) -> Sequence[Request]:
    """Claim the next due requests; each must be handed to `run` or `give_back`."""
    if rt.draining.is_set():
        return ()
    lease = _lease(rt)
    lanes = rt.settings.lanes
    return rt.store.claim_next(lanes, worker=rt.worker, lease_until=lease, at_most=at_most)


def _lease(rt: Runtime) -> int:
    return rt.clock.now() + rt.settings.lease


def run(rt: Runtime, request: Request) -> Ran:
    """Run a request that this worker claimed; what became of it must be handed to `settle_all`."""
    before = Status.RETRYING if request.spent else Status.PENDING
    with about.request(request):
        rt.tell("streamer_on_transition", request=request, before=before, after=Status.PROCESSING)
        rt.measure("request.waited", max(0, rt.clock.now() - request.due_at), "ms")
        return _run(rt, request, _nobody_waits)


def run_claimed(rt: Runtime, request: Request, abandoned: Callable[[], bool]) -> None:
    """Run a request that was stored as claimed, and write what became of it.

    `abandoned` is called where the pulse has done so for a handler that did not return: again and
    again, until it gives True.
    """
    with about.request(request):
        settle_all(rt, [_run(rt, request, abandoned)])


def settle_all(rt: Runtime, those: Sequence[Ran]) -> None:
    """Write what became of runs, those that end together."""
    try:
        settle(rt, [(ran.execution, ran.outcome) for ran in those if ran.outcome is not None])
    except Exception:
        rt.log.exception(
            "outcomes could not be settled", refs=[r.execution.request.ref for r in those]
        )
    finally:
        for ran in those:
            rt.pulse.remove(ran.execution)


def give_back(rt: Runtime, requests: Sequence[Request]) -> None:
    """Let others have what this worker claimed and will not run."""
    for request in requests:
        with about.request(request):
            execution = PulsedExecution(rt, _unknown, request, _nobody_waits)
            settle(rt, [(execution, GiveBack())])


def _nobody_waits() -> bool:
    return True


def _run(rt: Runtime, request: Request, abandoned: Callable[[], bool]) -> Ran:
    registered = rt.registry.get(request.action)
    spec = registered.spec if registered else _unknown
    execution = PulsedExecution(rt, spec, request, abandoned)
    rt.pulse.add(execution)
    if rt.draining.is_set():  # claimed while that began: it may have found nothing to stop
        execution.ended = True
        return Ran(execution, GiveBack())
    outcome: Outcome | None = None
    try:
        if registered and request.redriven_from is not None:
            redrive.introduce(execution)
        with execution.writing():
            execution.followers.begin()
        outcome = _outcome(execution, registered)
    except Exception:
        rt.log.exception("request could not be run", ref=request.ref)
    execution.ended = True
    return Ran(execution, outcome)


def _outcome(execution: StoredExecution, registered: Registered | None) -> Outcome:
    rt, request = execution.rt, execution.request
    if request.cancel_requested_at is not None:
        return Cancelled()
    if registered is None:
        return _unknown_action(execution)
    try:
        payload = registered.validate(request.payload)
    except Exception as error:  # noqa: BLE001 - the handler has changed since, or a validator broke
        return execution.failed(error)
    if request.last_seq > request.checkpoint_seq:
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
        on_enter=execution.entered,
        on_stop=execution.on_stop,
    )
    started = rt.clock.monotonic()
    outcome = call_handler(execution, call)
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

    def __init__(
        self,
        rt: Runtime,
        handler: HandlerSpec,
        request: Request,
        abandoned: Callable[[], bool],
    ) -> None:
        super().__init__(rt, handler, request)
        self._abandoned = abandoned
        self._is_abandoned = False
        self._is_told = False

    def _abandon(self, outcome: Outcome) -> None:
        """Settle without the handler's thread, a zombie until it returns.

        Nobody is waited for here: the leases of all others hang on this thread.
        """
        with self.writing():
            if not (self.settled or self.ended):
                settle(self.rt, [(self, outcome)], patiently=False)
                self._is_abandoned = True
                self._is_told = self._abandoned()

    def _tell_the_busy(self, now: float) -> None:
        """Bring what they lack to those who did not take the end at once."""
        with self.writing():
            self._is_told = self._is_told or self._abandoned()
            if self.followers.behind:
                self.followers.catch_up()
                if not self.followers.behind:
                    self.mark_sent(now)

    def on_overdue(self) -> None:
        """Settle as timed out."""
        self._abandon(self.failed(HandlerTimeout(f"{self.handler.action} outlived its timeout")))

    def tick(self, now: float) -> None:
        """Also settle a cancelled request whose handler does not heed it."""
        super().tick(now)
        since = self.stopping_since("cancel")
        grace = self.rt.settings.cancel_grace / 1000
        if self._is_abandoned:
            self._tell_the_busy(now)
        elif since is not None and now - since >= grace and not self.settled:
            self._abandon(Cancelled())

    def release(self) -> None:
        """Give the request back without its handler's thread, as a worker that goes does."""
        self._abandon(GiveBack())
