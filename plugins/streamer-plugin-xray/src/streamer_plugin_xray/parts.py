"""Segments and subsegments of ours: begun under another, told of, sent once."""

import threading
from contextvars import ContextVar, Token
from typing import Any

from aws_xray_sdk.core.models.facade_segment import FacadeSegment
from aws_xray_sdk.core.models.traceid import TraceId

from streamer_core.outcomes import Outcome
from streamer_plugin_xray.header import Header

_NOBODY = "0" * 16

taking: ContextVar[Any] = ContextVar("streamer-xray-taking", default=None)
"""The part of the message that is being taken, or what stands for it."""


class Part:
    """A segment or subsegment of ours, and the header by which others go on from it."""

    def __init__(self, entity: Any, header: Header, fence: int) -> None:
        self.entity = entity
        self.header = header
        self.fence = fence
        self._lock = threading.Lock()

    @property
    def ids(self) -> dict[str, str]:
        """Its ids as log lines have them; none where nothing can be found by them."""
        if not self.entity.sampled:
            return {}
        return {"trace_id": self.entity.trace_id, "span_id": self.entity.id}

    def annotate(self, **values: str | int) -> None:
        """Add what X-Ray indexes."""
        with self._lock:
            if self.entity.in_progress:
                for name, value in values.items():
                    self.entity.put_annotation(name, value)

    def told(self, outcome: Outcome) -> None:
        """Say what became of it: a fault is ours, an error the asker's. No text of either."""
        self.annotate(outcome=outcome.name, **({"error": outcome.error} if outcome.error else {}))
        if outcome.is_failure:
            self.entity.add_fault_flag()
        elif outcome.error:
            self.entity.add_error_flag()

    def end(self, emitter: Any) -> None:
        """Close and send it, once; subsegments that a handler left open go with it as they are."""
        with self._lock:
            if not self.entity.in_progress:
                return
            self.entity.close()
        if self.entity.sampled:
            emitter.send_entity(self.entity)


class LeftOut:
    """Stands for a message's part of a trace that is not kept: nothing of it is made.

    Within it as a context manager it stands for the message that is being taken.

    Args:
        root: the trace, where there is one.
    """

    __slots__ = ("_root", "_taken")

    def __init__(self, root: str | None) -> None:
        self._root = root

    def __enter__(self) -> None:
        self._taken: Token[Any] = taking.set(self)

    def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
        taking.reset(self._taken)

    @property
    def header(self) -> Header:
        """The header by which others leave out what is theirs."""
        return Header(root=self._root or TraceId().to_id(), sampled=False)


def facade(header: Header) -> Any:
    """Stand for the segment to go on under; None for the invocation's."""
    if header.sampled is False:
        return FacadeSegment("facade", header.parent or _NOBODY, header.root, sampled=False)
    if header.root is None or header.parent is None:
        return None
    return FacadeSegment("facade", header.parent, header.root, sampled=True)


def header_under(entity: Any, header: Header) -> Header:
    """Give the header by which others go on under an entity that was begun with one."""
    if not entity.sampled:
        return Header(root=header.root or TraceId().to_id(), sampled=False)
    return Header(root=entity.trace_id, parent=entity.id, sampled=True)


def back(context: Any, entity: Any) -> None:
    """Have an entity, or none, be current in this thread again."""
    if entity is None:
        context.clear_trace_entities()
    else:
        context.set_trace_entity(entity)
