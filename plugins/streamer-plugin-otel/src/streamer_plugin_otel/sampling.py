"""Which traces are kept, decided at the message: of the others nothing is made.

The SDK's own samplers decide when a span is made, with all its attributes. Where most traces are
left out, that is most of what tracing costs.
"""

import random
from collections.abc import Sequence
from contextvars import ContextVar, Token
from functools import cached_property
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext

_DECIDED = contexts.create_key("streamer-otel-decided")
LEFT_OUT: Span = NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)
"""Stands for the span of a message whose trace is not kept."""

taking: ContextVar[Span | None] = ContextVar("streamer-otel-taking", default=None)
"""The span of the message that is being taken."""

(_SPAN,) = trace.set_span_in_context(LEFT_OUT, contexts.Context())
"""Under this key a context has its span: to make one by hand takes half the time."""


class Roots(Sampler):
    """Keeps what was decided to be kept at its message, and a share of all else."""

    def __init__(self, ratio: float) -> None:
        self._usual = TraceIdRatioBased(ratio)

    def should_sample(
        self, parent_context: contexts.Context | None, *given: Any, **named: Any
    ) -> SamplingResult:
        """Decide about a span that has no parent."""
        decided = contexts.get_value(_DECIDED, parent_context)
        sampler: Sampler = ALWAYS_ON if decided else self._usual
        return sampler.should_sample(parent_context, *given, **named)

    def get_description(self) -> str:
        """Say what it is."""
        return self._usual.get_description()


class Deciding:
    """Decides about messages that come without a trace.

    Args:
        ratio: the share that is kept; None: the SDK's samplers decide.
        fields: names by which metadata tell of a trace.
    """

    def __init__(self, ratio: float | None, fields: Sequence[str]) -> None:
        self._ratio = ratio
        self._fields = fields

    @property
    def decides(self) -> bool:
        """Whether it is decided here at all."""
        return self._ratio is not None

    def keeps(self, metadata: Any) -> bool | None:
        """Decide; None: a client, or what is traced around it, has done so, or the SDK does."""
        if self._ratio is None or contexts.get_current():
            return None
        if metadata and any(name in metadata for name in self._fields):
            return None
        # Not the system's source: to ask that takes as long as half a message.
        return random.random() < self._ratio  # noqa: S311


def kept(context: contexts.Context) -> contexts.Context:
    """Have the trace that begins in this context be kept."""
    return contexts.set_value(_DECIDED, True, context)


class LeftOutSpan(NonRecordingSpan):
    """A span that is left out. It gets ids when somebody asks for them: most handlers do not."""

    __init__ = object.__init__  # it is given none

    @cached_property
    def _ids(self) -> SpanContext:
        return SpanContext(random.getrandbits(128), random.getrandbits(64), is_remote=False)

    def get_span_context(self) -> SpanContext:
        """Give what goes on from it, to be left out, too."""
        return self._ids

    def __repr__(self) -> str:
        return f"LeftOutSpan({self._ids!r})"


class LeftOut:
    """Have what is traced inside be left out, too, and carry that on; a context manager."""

    __slots__ = ("_attached", "_taken")

    def __enter__(self) -> None:
        left_out = contexts.Context({_SPAN: LeftOutSpan()})
        self._attached = contexts.attach(left_out)
        self._taken: Token[Span | None] = taking.set(LEFT_OUT)

    def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
        taking.reset(self._taken)
        contexts.detach(self._attached)
