"""What the engine asks of the world: a store, a transport, a clock."""

from streamer_core.ports.clock import Clock, SystemClock
from streamer_core.ports.store import Store
from streamer_core.ports.stored import (
    Change,
    ChangeKind,
    Counted,
    Ending,
    Enqueued,
    Enqueuing,
    Feed,
    Held,
    Page,
    Query,
    Value,
)
from streamer_core.ports.transport import Delivery, Transport
from streamer_core.ports.wrapped import WrappedStore

__all__ = [
    "Change",
    "ChangeKind",
    "Clock",
    "Counted",
    "Delivery",
    "Ending",
    "Enqueued",
    "Enqueuing",
    "Feed",
    "Held",
    "Page",
    "Query",
    "Store",
    "SystemClock",
    "Transport",
    "Value",
    "WrappedStore",
]
