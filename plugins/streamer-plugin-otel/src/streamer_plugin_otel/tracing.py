"""The spans of a request, and how they hang together.

```
(the client's span)
└─ {action}            SERVER    a message is taken: its gates; a sync request's handler
   └─ send {action}    PRODUCER  a queued one is stored; its context goes with the request
      ├─ process {action}  CONSUMER  an attempt, linked to it as well
      │  ├─ the handler's own
      │  └─ push {type}    CLIENT    progress, chunks, the end
      ├─ process {action}            the next attempt, perhaps elsewhere
      └─ push {type}                 of a process that runs no attempt: the sweeper
```
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanKind, StatusCode
from structlog.contextvars import bind_contextvars, reset_contextvars

from streamer_core.plugin import Call, Delivery, Message, Push, Refused, Request, Status
from streamer_plugin_otel.kept import Kept
from streamer_plugin_otel.outcomes import Outcome, outcome_of, outcome_of_refusal

ERROR_TYPE = "error.type"
OUTCOME = "streamer.outcome"
ACTION = "streamer.action"
TENANT = "streamer.tenant"

_taking: ContextVar[Span | None] = ContextVar("streamer-otel-taking", default=None)


class Tracing:
    """Makes spans of what the hooks tell.

    Args:
        provider: makes the tracer.
    """

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._tracer = provider.get_tracer("streamer_plugin_otel")
        self._propagator = propagate.get_global_textmap()
        self._fields = tuple(sorted(self._propagator.fields))
        self._running: Kept[str, tuple[int, Span]] = Kept()
        self._storing: Kept[tuple[str | None, ...], Span] = Kept()
        self._on_lambda = "AWS_LAMBDA_FUNCTION_NAME" in os.environ
        self._cold = True

    # -- a message

    @contextmanager
    def receiving(self, message: Message, tenant: str) -> Iterator[None]:
        """Surround the taking of a message."""
        span = self._tracer.start_span(
            message.action,
            # A client that is not traced: under what the application traces around it, if it does.
            context=self._propagator.extract(message.metadata, contexts.get_current()),
            kind=SpanKind.SERVER,
            attributes={ACTION: message.action, TENANT: tenant, **self._faas("http")},
        )
        token = _taking.set(span)
        try:
            with _current(span):
                yield
        except Refused as error:
            _end_as(span, outcome_of_refusal(error))
            raise
        finally:
            _taking.reset(token)
            span.end()

    # -- a request that is stored

    def context_for(self, request: Request) -> Mapping[str, str]:
        """Begin the span of a request's way into the store, and give its context."""
        links = []
        if request.redriven_from is not None:
            before = trace.get_current_span(self._context_in(request.metadata))
            links = [Link(before.get_span_context())]
        span = self._tracer.start_span(
            f"send {request.action}",
            kind=SpanKind.PRODUCER,
            attributes={**_messaging("send", request.action), TENANT: request.tenant},
            links=links,
        )
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, trace.set_span_in_context(span))
        self._storing.keep(self._key({**request.metadata, **carrier}), span)
        return carrier

    @contextmanager
    def storing(self, requests: Sequence[Request]) -> Iterator[Callable[[Sequence[Any]], None]]:
        """Surround the write that stores requests; what it gives is told what became of each."""
        spans = [self._storing.pop(self._key(one.metadata), None) for one in requests]

        def stored(answers: Sequence[Any]) -> None:
            for span, answer in zip(spans, answers, strict=True):
                if span is not None and isinstance(answer, Exception):
                    _fail(span, type(answer).__qualname__)
                elif span is not None:
                    span.set_attribute("streamer.created", answer.created)

        with _ending(spans):
            yield stored

    # -- an attempt

    def running(self, call: Call) -> AbstractContextManager[None]:
        """Surround a handler: an attempt's span, or the message's where it is answered at once."""
        message = _taking.get() if call.request is None else None
        return self._attempt(call) if message is None else self._at_once(call, message)

    @contextmanager
    def _at_once(self, call: Call, span: Span) -> Iterator[None]:
        self._running.keep(call.ref, (0, span))
        try:
            with _told(span, call):
                yield
        finally:
            self._running.pop(call.ref, None)

    @contextmanager
    def _attempt(self, call: Call) -> Iterator[None]:
        span = self._processing(call)
        self._running.keep(call.ref, (call.request.fence if call.request else 0, span))
        call.context.bind(**_ids(span))
        try:
            with _current(span), _told(span, call):
                yield
        finally:
            _end(span)

    def _processing(self, call: Call) -> Span:
        stored = self._context_in(call.metadata)
        created = trace.get_current_span(stored).get_span_context()
        return self._tracer.start_span(
            f"process {call.handler.action}",
            context=stored if created.is_valid else None,
            kind=SpanKind.CONSUMER,
            attributes={
                **_messaging("process", call.handler.action),
                TENANT: call.principal.tenant,
                "streamer.attempt": call.attempt,
                **self._faas("pubsub"),
            },
            links=[Link(created)] if created.is_valid else [],
        )

    def left(self, request: Request, after: Status) -> None:
        """Let go of a run that was settled; end its span where its handler has not returned."""
        fence, span = self._running.get(request.ref, (-1, None))
        if span is None or fence != request.fence:
            return
        self._running.pop(request.ref, None)
        if after.terminal:
            # What a slow client lacks of it is pushed yet.
            self._running.keep(request.ref, (fence, NonRecordingSpan(span.get_span_context())))
        if span.is_recording():
            _end_as(span, Outcome(name="abandoned", error=after.value, is_failure=True))
            _end(span)

    # -- what is pushed

    @contextmanager
    def pushing(
        self, pushes: Sequence[Push]
    ) -> Iterator[Callable[[Sequence[Mapping[str, Delivery]]], None]]:
        """Surround a send; what it gives is told how each push ended."""
        spans = [self._push(one) for one in pushes]

        def pushed(verdicts: Sequence[Mapping[str, Delivery]]) -> None:
            for span, of_each in zip(spans, verdicts, strict=True):
                for verdict in set(of_each.values()) - {Delivery.DELIVERED}:
                    count = sum(one is verdict for one in of_each.values())
                    span.set_attribute(f"streamer.push.{verdict.value}", count)

        with _ending(spans):
            yield pushed

    def _push(self, push: Push) -> Span:
        message = push.message
        return self._tracer.start_span(
            f"push {message.type}",
            context=self._context_of_push(push),
            kind=SpanKind.CLIENT,
            attributes={
                **_messaging("send", message.type, name="push"),
                "streamer.push.connections": len(push.connections),
            },
        )

    def _context_of_push(self, push: Push) -> contexts.Context | None:
        """Find what a push belongs to: a run in this process, else the request's own context."""
        if push.message.ref is None:
            return None  # an event: whatever publishes it
        _, span = self._running.get(push.message.ref, (0, None))
        if span is not None:
            return trace.set_span_in_context(span)
        return self._context_in(push.message.metadata)

    # -- contexts

    def _context_in(self, metadata: Mapping[str, str]) -> contexts.Context:
        return self._propagator.extract(metadata, contexts.Context())

    def _key(self, metadata: Mapping[str, str]) -> tuple[str | None, ...]:
        """Tell stored contexts apart: each names a span of its own."""
        return tuple(metadata.get(field) for field in self._fields)

    def _faas(self, trigger: str) -> Mapping[str, str | bool]:
        if not self._on_lambda:
            return {}
        cold, self._cold = self._cold, False
        return {"faas.trigger": trigger, "faas.coldstart": cold}


def _messaging(operation: str, destination: str, *, name: str = "") -> dict[str, str]:
    return {
        "messaging.system": "streamer",
        "messaging.operation.type": operation,
        "messaging.operation.name": name or operation,
        "messaging.destination.name": destination,
    }


def _ids(span: Span) -> dict[str, str]:
    ids = span.get_span_context()
    return {
        "trace_id": trace.format_trace_id(ids.trace_id),
        "span_id": trace.format_span_id(ids.span_id),
    }


@contextmanager
def _current(span: Span) -> Iterator[None]:
    """Have a span be the parent of what is traced inside, and its ids in what is logged."""
    token = contexts.attach(trace.set_span_in_context(span))
    bound = bind_contextvars(**_ids(span))
    try:
        yield
    finally:
        reset_contextvars(**bound)
        contexts.detach(token)


@contextmanager
def _told(span: Span, call: Call) -> Iterator[None]:
    """Say in a span what became of a call."""
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        _end_as(span, outcome_of(call, error))


@contextmanager
def _ending(spans: Sequence[Span | None]) -> Iterator[None]:
    """End spans; as failed, where what is inside fails."""
    try:
        yield
    except BaseException as error:
        for span in filter(None, spans):
            _fail(span, type(error).__qualname__)
        raise
    finally:
        for span in filter(None, spans):
            span.end()


def _end(span: Span) -> None:
    if span.is_recording():  # nobody else has: the pulse, of a handler that outlived its time
        span.end()


def _end_as(span: Span, outcome: Outcome) -> None:
    span.set_attribute(OUTCOME, outcome.name)
    if outcome.is_failure:
        _fail(span, outcome.error)
    elif outcome.error:
        span.set_attribute(ERROR_TYPE, outcome.error)


def _fail(span: Span, error_type: str) -> None:
    """Mark a span as failed, by a class or code alone: an error's text may quote a payload."""
    span.set_attribute(ERROR_TYPE, error_type)
    span.set_status(StatusCode.ERROR)
