"""One run of a handler, and what is delivered of it: what the surrounding hooks get to hold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, NamedTuple

from streamer_core.model.handler import HandlerSpec, TopicSpec
from streamer_core.model.message import Message, Mode
from streamer_core.model.principal import Principal
from streamer_core.model.request import Request
from streamer_core.records import record


def _do_nothing() -> None:
    """Take no notice: no log line is made of this call."""


def _ignore(_: object) -> None:
    """Take no notice: nothing will interrupt this call."""


@record
class Call:
    """A handler about to run, or running.

    Args:
        handler: its specification.
        principal: whom it acts for.
        mode: `sync` or `async`.
        request_id: the client's name of the request.
        ref: the request's key.
        attempt: counts from 1.
        metadata: as the client sent it.
        payload: validated: what the handler's payload parameter will get.
        request: the stored record; None for a sync request.
        size: bytes of the message that asked for it, where it is answered at once; else 0.
        context: what the handler holds, a `streamer_core.Context`.
        on_enter: called when all that surrounds the handler has begun, in its thread.
        on_stop: whoever runs the handler gives it what interrupts the run, and None afterwards.
    """

    handler: HandlerSpec
    principal: Principal
    mode: Mode
    request_id: str
    ref: str
    attempt: int = 1
    metadata: Mapping[str, str] = field(default_factory=dict)
    payload: Any = None
    request: Request | None = None
    size: int = 0
    context: Any = field(default=None, repr=False)
    on_enter: Callable[[], None] = field(default=_do_nothing, repr=False)
    on_stop: Callable[[Callable[[], None] | None], None] = field(default=_ignore, repr=False)


@record
class Outgoing:
    """One wire message on its way to connections.

    Args:
        type: its `type` on the wire.
        data: the encoded message.
        request_id, ref: the request it is about, if it is about one.
        metadata: that request's.
        at: when what it tells came to be, Unix ms: a chunk or an end was made, an event published.
    """

    type: str
    data: bytes = field(repr=False)
    request_id: str | None = None
    ref: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    at: int = 0


@record
class Push:
    """One message and the connections that it is for, by id."""

    message: Outgoing
    connections: Sequence[str]


NO_TAGS: Mapping[str, str] = {}


class Metric(NamedTuple):
    """One measurement.

    A message makes several: a tuple is made in a third of the time that a record takes.

    Args:
        name: dotted, as in `request.duration`.
        value: in `unit`.
        unit: `count`, `ms`, `bytes` or `gauge`.
        tags: few values each: action, outcome, mode; never a user's or a request's id.
        times: how many things it measures together, `value` being their sum; other than 1 only in
            `bytes`: one message for many connections.
    """

    name: str
    value: float = 1
    unit: str = "count"
    tags: Mapping[str, str] = NO_TAGS
    times: int = 1


@record
class Health:
    """One plugin's answer to `streamer_health`.

    Args:
        name: what was checked.
        ok: whether it works.
        degraded: it works, but not as it should.
        detail: one sentence without secrets.
        latency_ms: what the check took; None: the core measures it.
    """

    name: str
    ok: bool
    degraded: bool = False
    detail: str = ""
    latency_ms: float | None = None

    @property
    def status(self) -> str:
        """`ok`, `degraded` or `dead`."""
        if not self.ok:
            return "dead"
        return "degraded" if self.degraded else "ok"


@record
class Panel:
    """A table that a plugin adds to the console.

    Args:
        name: its address: lower-case letters, digits and dashes.
        title: for people.
        rows: called at each look; gives the rows, each a mapping of column to text.
    """

    name: str
    title: str
    rows: Any


@record
class Resource:
    """What a principal asks leave for.

    Args:
        kind: `action`, `request` or `topic`.
        name: the action, the request's ref, or the topic.
        handler: of an action or a request.
        topic: the declared pattern that the topic matches.
        request: the record, for verbs about one.
        message: the message, for `call` and `priority`.
    """

    kind: str
    name: str
    handler: HandlerSpec | None = None
    topic: TopicSpec | None = None
    request: Request | None = None
    message: Message | None = None
