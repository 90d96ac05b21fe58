"""What became of one run of a handler."""

import traceback
from typing import Any

from streamer_core.context import KEEP
from streamer_core.errors import HandlerTimeout, Refused, Reject, Unserializable
from streamer_core.model import encode
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.request import Failure
from streamer_core.records import record

_TRACE_CHARS = 20_000


@record
class Done:
    """The handler returned `value`."""

    value: Any


@record
class Failed:
    """The attempt is spent."""

    failure: Failure


@record
class Cancelled:
    """The client asked to stop, and the handler did."""


@record
class GiveBack:
    """To be run again after `delay_ms`, without an attempt spent, from `state`."""

    state: Any = KEEP
    delay_ms: int = 0


@record
class Lost:
    """Somebody else has the request now; nothing more is written."""


Outcome = Done | Failed | Cancelled | GiveBack | Lost


def failure_of(
    error: BaseException, *, attempt: int, at: int, worker: str, handler: HandlerSpec | None
) -> Failure:
    """Describe a failed attempt: what a client may read, and the whole truth for operators."""
    code, message, details, retryable = _public(error, handler)
    message, details = encode.public(message, details)
    return Failure(
        attempt=attempt,
        code=code,
        message=message,
        kind=type(error).__qualname__,
        trace="".join(traceback.format_exception(error))[-_TRACE_CHARS:],
        details=details,
        retryable=retryable,
        retry_after_ms=error.retry_after_ms if isinstance(error, Refused) else None,
        at=at,
        worker=worker,
    )


def _public(error: BaseException, handler: HandlerSpec | None) -> tuple[str, str, Any, bool]:
    if isinstance(error, Reject):
        return error.code, error.message, error.details, False
    if isinstance(error, Refused):
        return error.code, error.message, error.details, error.retryable
    if isinstance(error, HandlerTimeout):
        return "TIMEOUT", "The request took longer than it may", None, True
    if isinstance(error, Unserializable):
        return "PROCESSING_FAILED", "The request's output cannot be written as JSON", None, False
    return "PROCESSING_FAILED", "The request failed", None, _may_heal(error, handler)


def _may_heal(error: BaseException, handler: HandlerSpec | None) -> bool:
    if handler is None:
        return True
    if isinstance(error, handler.never_retry):
        return False
    # SystemExit and the like end the handler, not the worker; another attempt may go better.
    return isinstance(error, handler.retry_on) or not isinstance(error, Exception)
