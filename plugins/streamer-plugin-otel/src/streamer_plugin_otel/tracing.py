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
from functools import partial
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanKind

from streamer_core.kept import Kept
from streamer_core.outcomes import Outcome, outcome_of_refusal, telling
from streamer_core.plugin import Call, Delivery, Message, Push, Refused, Request, Status
from streamer_plugin_otel.carrier import WELL_FORMED
from streamer_plugin_otel.sampling import LEFT_OUT, Deciding, LeftOut, kept, taking
from streamer_plugin_otel.spans import (
    current,
    end,
    end_as,
    ending,
    fail,
    ids,
    messaging,
    within,
)

ACTION = "streamer.action"
TENANT = "streamer.tenant"


class Tracing:
    """Makes spans of what the hooks tell.

    Args:
        provider: makes the tracer.
        ratio: the share of the traces beginning here that are kept; None: the provider decides.
    """

    def __init__(self, provider: trace.TracerProvider, ratio: float | None = None) -> None:
        self._tracer = provider.get_tracer("streamer_plugin_otel")
        self._propagator = propagate.get_global_textmap()
        self._fields = tuple(sorted(self._propagator.fields))
        self._deciding = Deciding(ratio, self._fields)
        self._running: Kept[str, tuple[int, Span]] = Kept()
        self._storing: Kept[tuple[str | None, ...], Span] = Kept()
        self._on_lambda = "AWS_LAMBDA_FUNCTION_NAME" in os.environ
        self._cold = True

    # -- a message

    def receiving(self, message: Message, tenant: str) -> AbstractContextManager[None]:
        """Surround the taking of a message."""
        keeps = self._deciding.keeps(message.metadata)
        if keeps is False:
            return LeftOut()
        # A client that is not traced: under what the application traces around it, if it does.
        context = self._propagator.extract(message.metadata, contexts.get_current(), WELL_FORMED)
        return self._taken(message, tenant, kept(context) if keeps else context)

    @contextmanager
    def _taken(self, message: Message, tenant: str, context: contexts.Context) -> Iterator[None]:
        span = self._tracer.start_span(
            message.action,
            context=context,
            kind=SpanKind.SERVER,
            attributes={ACTION: message.action, TENANT: tenant, **self._faas("http")},
        )
        token = taking.set(span)
        try:
            with current(span):
                yield
        except Refused as error:
            end_as(span, outcome_of_refusal(error))
            raise
        finally:
            taking.reset(token)
            span.end()

    # -- a request that is stored

    def context_for(self, request: Request) -> Mapping[str, str]:
        """Begin the span of a request's way into the store, and give its context."""
        carrier: dict[str, str] = {}
        if taking.get() is LEFT_OUT:
            self._propagator.inject(carrier)
            return carrier
        span = self._tracer.start_span(
            f"send {request.action}",
            kind=SpanKind.PRODUCER,
            attributes={**messaging("send", request.action), TENANT: request.tenant},
            links=self._links(request.metadata) if request.redriven_from is not None else [],
        )
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
                    fail(span, type(answer).__qualname__)
                elif span is not None:
                    span.set_attribute("streamer.created", answer.created)

        with ending(spans):
            yield stored

    # -- an attempt

    def running(self, call: Call) -> AbstractContextManager[None] | None:
        """Surround a handler: an attempt's span, or the message's where it is answered at once.

        None: the message's trace is left out.
        """
        message = taking.get() if call.request is None else None
        if message is LEFT_OUT:
            return None
        if message is not None:
            return self._at_once(call, message)
        if (left_out := self._left_out(call.metadata)) is not None:
            return within(left_out)
        return self._attempt(call)

    @contextmanager
    def _at_once(self, call: Call, span: Span) -> Iterator[None]:
        self._running.keep(call.ref, (0, span))
        try:
            with telling(call, partial(end_as, span)):
                yield
        finally:
            self._running.pop(call.ref, None)

    @contextmanager
    def _attempt(self, call: Call) -> Iterator[None]:
        span = self._processing(call)
        self._running.keep(call.ref, (call.request.fence if call.request else 0, span))
        call.context.bind(**ids(span))
        try:
            with current(span), telling(call, partial(end_as, span)):
                yield
        finally:
            end(span)

    def _processing(self, call: Call) -> Span:
        links = self._links(call.metadata)
        return self._tracer.start_span(
            f"process {call.handler.action}",
            context=self._context_in(call.metadata) if links else None,
            kind=SpanKind.CONSUMER,
            attributes={
                **messaging("process", call.handler.action),
                TENANT: call.principal.tenant,
                "streamer.attempt": call.attempt,
                **self._faas("pubsub"),
            },
            links=links,
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
            end_as(span, Outcome(name="abandoned", error=after.value, is_failure=True))
            end(span)

    # -- what is pushed

    @contextmanager
    def pushing(
        self, pushes: Sequence[Push]
    ) -> Iterator[Callable[[Sequence[Mapping[str, Delivery]]], None]]:
        """Surround a send; what it gives is told how each push ended."""
        spans = [self._push(one) if one.connections else None for one in pushes]

        def pushed(verdicts: Sequence[Mapping[str, Delivery]]) -> None:
            for span, of_each in zip(spans, verdicts, strict=True):
                for verdict in set(of_each.values()) - {Delivery.DELIVERED}:
                    count = sum(one is verdict for one in of_each.values())
                    if span is not None:
                        span.set_attribute(f"streamer.push.{verdict.value}", count)

        with ending(spans):
            yield pushed

    def _push(self, push: Push) -> Span | None:
        message = push.message
        if taking.get() is LEFT_OUT or self._left_out(message.metadata) is not None:
            return None
        return self._tracer.start_span(
            f"push {message.type}",
            context=self._context_of_push(push),
            kind=SpanKind.CLIENT,
            attributes={
                **messaging("send", message.type, name="push"),
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
        return self._propagator.extract(metadata, contexts.Context(), WELL_FORMED)

    def _left_out(self, metadata: Mapping[str, str]) -> contexts.Context | None:
        """Give the context of a request whose trace is not kept; None: it may be."""
        if not self._deciding.decides:
            return None
        context = self._context_in(metadata)
        stored = trace.get_current_span(context).get_span_context()
        return context if stored.is_valid and not stored.trace_flags.sampled else None

    def _links(self, metadata: Mapping[str, str]) -> list[Link]:
        stored = trace.get_current_span(self._context_in(metadata)).get_span_context()
        return [Link(stored)] if stored.is_valid else []

    def _key(self, metadata: Mapping[str, str]) -> tuple[str | None, ...]:
        """Tell stored contexts apart: each names a span of its own."""
        return tuple(metadata.get(field) for field in self._fields)

    def _faas(self, trigger: str) -> Mapping[str, str | bool]:
        if not self._on_lambda:
            return {}
        cold, self._cold = self._cold, False
        return {"faas.trigger": trigger, "faas.coldstart": cold}
