"""Connections whose end nobody has told of must not keep a tenant out until they expire."""

from collections.abc import Sequence
from dataclasses import replace

from streamer_core.app import Streamer
from streamer_core.errors import TransportError
from streamer_core.model.counter import Count

_MOST_ASKED = 20
_YOUNG_MS = 60_000
"""A connection that is being opened is not open yet: API Gateway gives that 29 s."""


def make_room(app: Streamer, tenant: str, counts: Sequence[Count]) -> None:
    """Where the tenant's connections are as many as may be, forget those that are gone.

    The oldest are asked for: a full tenant waits for as many calls of the transport.

    Raises:
        StoreError: the store failed.
    """
    limited = [replace(one, amount=0) for one in counts if one.limit is not None]
    levels = app.store.count(limited).levels if limited else ()
    if any(level >= (one.limit or 0) for one, level in zip(limited, levels, strict=True)):
        settled = app.clock.now() - _YOUNG_MS
        for one in app.store.connections(tenant=tenant, limit=_MOST_ASKED):
            if one.connected_at < settled and not _is_open(app, one.id):
                app.disconnect(one.id, "gone")


def _is_open(app: Streamer, connection_id: str) -> bool:
    try:
        return app.transport.is_open(connection_id)
    except TransportError:
        return True  # nobody can tell
