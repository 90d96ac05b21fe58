"""What a handler holds in its hands."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn, Protocol

from streamer_core.errors import Reject, StreamerError
from streamer_core.log import get_logger
from streamer_core.model.duration import Duration, to_ms
from streamer_core.model.principal import Principal

KEEP: Any = object()
_NOTHING: Mapping[str, Any] = {}


class Report(Protocol):
    """Where a context's words go; the engine has one for stored requests and one for sync ones."""

    def progress(self, percentage: float, message: str, metadata: Mapping[str, Any] | None) -> None:
        """Take a snapshot; never blocks."""

    def emit(self, data: Any) -> None:
        """Take a chunk; blocks only where the buffer is full."""

    def checkpoint(self, state: Any) -> None:
        """Keep the state and all chunks before it; blocks until durable."""

    def publish(self, topic: str, data: Any) -> None:
        """Send an event to a topic's subscribers."""

    def circuit(self, name: str) -> AbstractContextManager[Any] | None:
        """Give a dependency's guard, or None where nobody guards it."""

    @property
    def stop_reason(self) -> str | None:
        """Why the handler should stop: `cancel`, `timeout`, `drain`, `lost`, or None."""

    def remaining_s(self) -> float:
        """Seconds until the deadline; never negative."""


class ContinueLater(BaseException):
    """Raised by `ctx.continue_later`. No Exception, so that a handler's `except` lets it pass."""

    def __init__(self, state: Any, delay_ms: int) -> None:
        super().__init__("continue later")
        self.state = state
        self.delay_ms = delay_ms


class Stopped(StreamerError):
    """Raised by `ctx.raise_if_cancelled` where the handler was asked to stop."""


class Context:
    """A handler's way to its request and its client. Made by the engine, one for each attempt.

    Attributes:
        request_id: the client's name of the request.
        ref: the request's key, for operators and other users of the tenant.
        action: the handler's name.
        principal: whom it acts for.
        attempt: counts from 1.
        metadata: what the client sent along; never identity.
        deadline: Unix ms at which the attempt times out.
        restored: the state of the last `checkpoint`, or None.
        log: a structlog logger that knows request, tenant, user and attempt.
    """

    def __init__(
        self,
        report: Report,
        *,
        request_id: str,
        ref: str,
        action: str,
        principal: Principal,
        attempt: int = 1,
        metadata: Mapping[str, str] | None = None,
        deadline: int = 0,
        restored: Any = None,
    ) -> None:
        self._report = report
        self._log: Any = None
        self._bound: Mapping[str, Any] = _NOTHING
        self.request_id = request_id
        self.ref = ref
        self.action = action
        self.principal = principal
        self.attempt = attempt
        self.metadata = metadata or {}
        self.deadline = deadline
        self.restored = restored
        self.saw_stop = False

    @property
    def log(self) -> Any:
        """A structlog logger, bound to the request."""
        if self._log is None:
            self._log = get_logger(
                request_id=self.request_id,
                ref=self.ref,
                action=self.action,
                tenant=self.principal.tenant,
                user=self.principal.user,
                attempt=self.attempt,
                **self._bound,
            )
        return self._log

    def bind(self, **values: Any) -> None:
        """Have these values in all further lines of `log`, also in the one that says it failed."""
        self._bound = {**self._bound, **values}
        self._log = None

    def progress(
        self,
        percentage: float,
        message: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Tell how far the work is. Never blocks; values in between may be skipped.

        Args:
            percentage: 0 to 100, held within it; a fall is held at the highest so far.
            message: a short text for people, cut at 1000 characters.
            metadata: a JSON object of 32 KB at most.

        Raises:
            ValueError: `percentage` is not a number.
            Unserializable: JSON cannot hold `metadata`.
            TooLarge: `metadata` is larger.
        """
        self._report.progress(percentage, message, metadata)

    def emit(self, data: Any) -> None:
        """Give a piece of output: kept, and replayed to a client that comes back.

        Pieces are stored in batches; a full buffer waits until it is durable. A sync request's
        pieces are sent but not kept.

        Raises:
            Unserializable: JSON cannot hold the piece.
            TooLarge: it is larger than a message may be.
            Unavailable: the client of a sync request does not take it.
        """
        self._report.emit(data)

    def checkpoint(self, state: Any) -> None:
        """Keep `state` (any JSON) with every chunk before it, at once or not at all.

        The next attempt, or the run after `continue_later`, finds it in `restored`. Blocks until
        durable. A sync request has no next attempt: there it does nothing.
        """
        self._report.checkpoint(state)

    def publish(self, topic: str, data: Any) -> None:
        """Send an event to all who subscribed to the topic in this tenant. Not kept.

        Raises:
            ValueError: no loaded module declares a topic that matches.
        """
        self._report.publish(topic, data)

    def continue_later(self, state: Any = KEEP, *, after: Duration = 0) -> NoReturn:
        """End this run here and go on in a fresh one from `state`, without spending an attempt.

        Args:
            state: as for `checkpoint`; left out: the last checkpoint stands.
            after: how long to wait first.
        """
        raise ContinueLater(state, to_ms(after))

    def circuit(self, name: str) -> AbstractContextManager[Any]:
        """Guard the use of a dependency: `with ctx.circuit("ledger"): …`.

        Without a plugin that knows circuits it guards nothing.

        Raises:
            CircuitOpen: on entering, where the dependency is known to be failing. An async request
                then waits without spending an attempt.
        """
        return self._report.circuit(name) or nullcontext()

    @property
    def cancelled(self) -> bool:
        """Whether the handler should stop: its client cancelled, its time is up, or the worker is
        going. What it returns after it has seen this is not kept."""
        stop = self._report.stop_reason is not None
        self.saw_stop = self.saw_stop or stop
        return stop

    def raise_if_cancelled(self) -> None:
        """Raise `Stopped` where `cancelled` is true."""
        if self.cancelled:
            raise Stopped(self._report.stop_reason)

    @property
    def remaining(self) -> float:
        """Seconds until the attempt times out; 0 when it has."""
        return self._report.remaining_s()


__all__ = ["KEEP", "Context", "ContinueLater", "Reject", "Report", "Stopped"]
