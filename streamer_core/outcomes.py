"""What became of a call, in a few words, for plugins that surround it: no text of an error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamer_core.context import ContinueLater, Stopped
from streamer_core.errors import CircuitOpen, Refused, Reject
from streamer_core.model.call import Call
from streamer_core.model.message import Mode
from streamer_core.records import record


@record
class Outcome:
    """An outcome's name, a class or code of the error that made it, and whether it is a fault."""

    name: str
    error: str = ""
    is_failure: bool = False


@contextmanager
def telling(call: Call, tell: Callable[[Outcome], None]) -> Iterator[None]:
    """Surround a call, and tell what became of it."""
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        tell(outcome_of(call, error))


def outcome_of(call: Call, error: BaseException | None) -> Outcome:
    """Say what became of a call, as the engine would."""
    if isinstance(error, Stopped) or type(error).__name__ == "CancelledError":
        return Outcome(name="stopped")
    if call.context.remaining == 0:
        return Outcome(name="timeout", error="TIMEOUT", is_failure=True)
    if error is None:
        return Outcome(name="stopped" if call.context.saw_stop else "completed")
    return _of_error(call, error)


def _of_error(call: Call, error: BaseException) -> Outcome:
    if isinstance(error, ContinueLater):
        return Outcome(name="continued")
    if isinstance(error, CircuitOpen) and call.mode is Mode.ASYNC:
        return Outcome(name="deferred", error=error.code)
    if isinstance(error, Reject | Refused):
        return Outcome(name="rejected", error=error.code)
    return Outcome(name="failed", error=type(error).__qualname__, is_failure=True)


_FAULTS = frozenset({"INTERNAL_ERROR", "STORAGE_ERROR"})


def outcome_of_refusal(error: Refused) -> Outcome:
    """Say why a message was not taken: it was refused, or the server failed."""
    return Outcome(name="refused", error=error.code, is_failure=error.code in _FAULTS)
