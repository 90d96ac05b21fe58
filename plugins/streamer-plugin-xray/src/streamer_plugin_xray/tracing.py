"""The segments of a request.

```
(the client's)
└─ service        a message is taken: on Lambda a subsegment of the invocation's segment
   ├─ service     an attempt, with the handler's own subsegments; on Lambda a subsegment, too
   │  └─ push …   a subsegment sent by itself: it may be made when the attempt has ended
   └─ push …      of a process that runs no attempt: the sweeper
```
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from aws_xray_sdk.core.models.facade_segment import FacadeSegment
from aws_xray_sdk.core.models.subsegment import Subsegment
from structlog.contextvars import bind_contextvars, reset_contextvars

from streamer_core.kept import Kept
from streamer_core.outcomes import Outcome, outcome_of_refusal, telling
from streamer_core.plugin import Call, Message, Push, Refused, Request, Status
from streamer_plugin_xray.header import NONE, UNKEPT, Header, header_in
from streamer_plugin_xray.parts import LeftOut, Part, back, facade, header_under, taking
from streamer_plugin_xray.recorder import PinnedContext


class Tracing:
    """Makes segments of what the hooks tell.

    Args:
        recorder: the SDK's.
        service: the name of segments.
        ratio: how much is kept where nobody has decided.
        random: gives 0 to 1.
    """

    def __init__(
        self, recorder: Any, service: str, ratio: float, random: Callable[[], float]
    ) -> None:
        self._recorder = recorder
        self._service = service
        self._ratio = ratio
        self._random = random
        self._running: Kept[str, Part] = Kept()
        # Whether this is Lambda, where what is left out must be held apart from its segment.
        self._is_pinned = isinstance(recorder.context, PinnedContext)

    # -- a message

    def receiving(self, message: Message, tenant: str) -> AbstractContextManager[None]:
        """Surround the taking of a message."""
        header = self._decided(header_in(message.metadata) if message.metadata else NONE)
        if header.sampled is False and not self._is_pinned:
            return LeftOut(header.root)
        return self._taken(message, tenant, header)

    @contextmanager
    def _taken(self, message: Message, tenant: str, header: Header) -> Iterator[None]:
        with self._part(message.action, header, tenant) as part:
            token = taking.set(part)
            try:
                yield
            except Refused as error:
                part.told(outcome_of_refusal(error))
                raise
            finally:
                taking.reset(token)

    def header_for(self, request: Request) -> Mapping[str, str]:
        """Give the header of the message that a request came with, or of a redrive's new trace."""
        part: Part | LeftOut | None = taking.get()
        if request.redriven_from is None and part is not None:
            return part.header.stored
        with self._part(request.action, NONE, request.tenant) as redrive:
            before = header_in(request.metadata).root
            redrive.annotate(redriven_from=before or "")
        return redrive.header.stored

    # -- an attempt

    def running(self, call: Call) -> AbstractContextManager[None] | None:
        """Surround a handler: an attempt's part, or the message's where it is answered at once.

        None: its trace is left out.
        """
        message = taking.get() if call.request is None else None
        if isinstance(message, LeftOut):
            return None
        if message is not None:
            return self._at_once(call, message)
        header = header_in(call.metadata)
        if header.sampled is False and not self._is_pinned:
            return None
        return self._attempt(call, header)

    @contextmanager
    def _at_once(self, call: Call, part: Part) -> Iterator[None]:
        self._running.keep(call.ref, part)
        try:
            with telling(call, part.told):
                yield
        finally:
            self._running.pop(call.ref, None)

    @contextmanager
    def _attempt(self, call: Call, header: Header) -> Iterator[None]:
        fence = call.request.fence if call.request else 0
        with self._part(call.handler.action, header, call.principal.tenant, fence) as part:
            part.annotate(attempt=call.attempt)
            call.context.bind(**part.ids)
            self._running.keep(call.ref, part)
            with telling(call, part.told):
                yield

    def left(self, request: Request, after: Status) -> None:
        """Let go of a run that was settled; end its part where its handler has not returned.

        What a slow client lacks of one that has ended is pushed yet: that one is kept.
        """
        part = self._running.get(request.ref)
        if part is None or part.fence != request.fence:
            return
        if part.entity.in_progress:
            part.told(Outcome(name="abandoned", error=after.value, is_failure=True))
            part.end(self._recorder.emitter)
        if not after.terminal:
            self._running.pop(request.ref, None)

    # -- what is pushed

    @contextmanager
    def pushing(self, pushes: Sequence[Push]) -> Iterator[None]:
        """Surround a send."""
        parts = [part for one in pushes if one.connections and (part := self._push(one))]
        try:
            yield
        except BaseException:
            for part in parts:
                part.entity.add_fault_flag()
            raise
        finally:
            for part in parts:
                part.end(self._recorder.emitter)

    def _push(self, push: Push) -> Part | None:
        header = self._header_of(push)
        if not header.sampled or header.parent is None:
            return None
        above = FacadeSegment("above", header.parent, header.root, sampled=True)
        entity = Subsegment(f"push {push.message.type}", "remote", above)
        entity.parent_id = header.parent
        return Part(entity, header, 0)

    def _header_of(self, push: Push) -> Header:
        """Find what a push belongs to: a run in this process, else the request's own header."""
        if push.message.ref is None:
            return NONE  # an event is no request's
        part = self._running.get(push.message.ref)
        return part.header if part else header_in(push.message.metadata)

    # -- parts

    def _decided(self, header: Header) -> Header:
        """Decide where nobody has; on Lambda it has, and the invocation's segment says how."""
        if header.sampled is not None or self._is_pinned:
            return header
        if self._random() >= self._ratio:
            return replace(header, sampled=False) if header.root else UNKEPT
        return replace(header, sampled=True)

    @contextmanager
    def _part(self, action: str, header: Header, tenant: str, fence: int = 0) -> Iterator[Part]:
        """Have a segment of ours be the one that is traced under in this thread, and its ids in
        what is logged."""
        entity, restore = self._begun(action, header)
        part = Part(entity, header_under(entity, header), fence)
        part.annotate(action=action, tenant=tenant)
        bound = bind_contextvars(**part.ids)
        try:
            yield part
        finally:
            reset_contextvars(**bound)
            part.end(self._recorder.emitter)
            restore()

    def _begun(self, action: str, header: Header) -> tuple[Any, Callable[[], None]]:
        """Begin a segment, on Lambda a subsegment; give what goes back to the one before."""
        context = self._recorder.context
        if isinstance(context, PinnedContext):
            pinned = context.pin(facade(header))
            return self._recorder.begin_subsegment(action), partial(context.restore, pinned)
        before = context.get_trace_entity()
        sampled = self._decided(header).sampled
        segment = self._recorder.begin_segment(
            self._service, traceid=header.root, parent_id=header.parent, sampling=int(bool(sampled))
        )
        return segment, partial(back, context, before)
