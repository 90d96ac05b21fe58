"""Spans: what they are called, made current, ended and told of."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import Span, StatusCode
from structlog.contextvars import bind_contextvars, reset_contextvars

from streamer_core.outcomes import Outcome

ERROR_TYPE = "error.type"
OUTCOME = "streamer.outcome"


def messaging(operation: str, destination: str, *, name: str = "") -> dict[str, str]:
    """Give the attributes that the conventions for messaging ask for; all have few values."""
    return {
        "messaging.system": "streamer",
        "messaging.operation.type": operation,
        "messaging.operation.name": name or operation,
        "messaging.destination.name": destination,
    }


def ids(span: Span) -> dict[str, str]:
    """Give a span's ids as log lines have them."""
    context = span.get_span_context()
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }


@contextmanager
def current(span: Span) -> Iterator[None]:
    """Have a span be the parent of what is traced inside, and its ids in what is logged."""
    token = contexts.attach(trace.set_span_in_context(span))
    bound = bind_contextvars(**ids(span))
    try:
        yield
    finally:
        reset_contextvars(**bound)
        contexts.detach(token)


@contextmanager
def within(context: contexts.Context) -> Iterator[None]:
    """Have a context be the current one."""
    token = contexts.attach(context)
    try:
        yield
    finally:
        contexts.detach(token)


@contextmanager
def ending(spans: Sequence[Span | None]) -> Iterator[None]:
    """End spans; as failed, where what is inside fails."""
    try:
        yield
    except BaseException as error:
        for span in filter(None, spans):
            fail(span, type(error).__qualname__)
        raise
    finally:
        for span in filter(None, spans):
            span.end()


def end(span: Span) -> None:
    """End a span, once."""
    if span.is_recording():  # nobody else has: the pulse, of a handler that outlived its time
        span.end()


def end_as(span: Span, outcome: Outcome) -> None:
    """Say in a span how it came out."""
    span.set_attribute(OUTCOME, outcome.name)
    if outcome.is_failure:
        fail(span, outcome.error)
    elif outcome.error:
        span.set_attribute(ERROR_TYPE, outcome.error)


def fail(span: Span, error_type: str) -> None:
    """Mark a span as failed, by a class or code alone: an error's text may quote a payload."""
    span.set_attribute(ERROR_TYPE, error_type)
    span.set_status(StatusCode.ERROR)
