"""Sending what is gathered, without waiting for long."""

import threading
from typing import Any


class Flushing:
    """Flushes a provider in a thread: the SDK's own `force_flush` waits as long as it takes.

    Args:
        provider: the tracer provider; one without `force_flush` is left alone.
        at_most_s: how long to wait.
    """

    def __init__(self, provider: Any, at_most_s: float) -> None:
        self._flush = getattr(provider, "force_flush", lambda: None)
        self._at_most_s = at_most_s
        self._under_way: threading.Thread | None = None

    def flush(self) -> None:
        """Flush, and wait for it. While an earlier flush hangs, nobody waits for another."""
        if self._under_way is not None and self._under_way.is_alive():
            return
        self._under_way = threading.Thread(target=self._flush, name="streamer-otel", daemon=True)
        self._under_way.start()
        self._under_way.join(self._at_most_s)
