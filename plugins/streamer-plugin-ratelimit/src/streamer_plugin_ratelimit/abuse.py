"""Who goes on and on with what is refused is sent away."""

import threading
from typing import Any

from streamer_core.errors import StoreError
from streamer_core.log import get_logger
from streamer_core.model.connection import POLICY_VIOLATION, Connection
from streamer_core.model.counter import Count
from streamer_plugin_ratelimit.limit import MARGIN_MS, PREFIX
from streamer_plugin_ratelimit.recent import Recent
from streamer_plugin_ratelimit.settings import RateLimitSettings

_CLOSE = (POLICY_VIOLATION, "too many refused messages")
_REPORTS = 10
"""In how many reports the refusals that close a connection are counted, as each is a write."""


class Abuse:
    """Counts each connection's refusals, over all processes: a bucket that is full closes it."""

    def __init__(self, settings: RateLimitSettings, app: Any) -> None:
        self._app = app
        self._settings = settings
        self._batch = max(1, settings.close_after // _REPORTS)
        self._lock = threading.Lock()
        self._unreported: Recent[str, list[int]] = Recent(lambda: [0])

    def noted(self, connection: Connection) -> tuple[int, str] | None:
        """Count a refusal; gives how to close the connection, where it was one too many."""
        if not self._settings.close_after:
            return None
        with self._lock:
            unreported = self._unreported[connection.id]
            unreported[0] = (unreported[0] + 1) % self._batch
            if unreported[0]:
                return None
        try:
            counted = self._app.store.count([self._count(connection)])
        except StoreError:
            get_logger().exception("refusals could not be counted")
            return None
        if counted.accepted:
            return None
        self._app.runtime.measure("ratelimit.closed")
        return _CLOSE

    def _count(self, connection: Connection) -> Count:
        after, within_ms = self._settings.close_after, self._settings.close_within
        return Count(
            key=f"{PREFIX}-close/{connection.id}",
            amount=self._batch,
            limit=after - 1,
            refill_per_s=after / within_ms * 1000,
            expires_at=self._app.clock.now() + within_ms + MARGIN_MS,
        )
