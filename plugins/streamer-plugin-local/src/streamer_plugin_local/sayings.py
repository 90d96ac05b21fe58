"""The few messages that the gateway says by itself; all others come from a worker."""

from streamer_core.errors import Refused, TooLarge, Unavailable
from streamer_core.model import encode
from streamer_core.ports import SystemClock

_clock = SystemClock()


def goodbye(reason: str, reconnect_after_ms: int) -> bytes:
    """Say that the connection is about to be closed."""
    return encode.goodbye(_clock.now(), reason, reconnect_after_ms).data


def too_large(size: int, most: int) -> bytes:
    """Refuse a message for its size; its id is not looked for."""
    return _refused(None, TooLarge(f"A message may have {most} bytes; this one has {size}"))


def unavailable(request_id: str | None, sentence: str) -> bytes:
    """Refuse a message that no worker will answer."""
    return _refused(request_id, Unavailable(sentence))


def _refused(request_id: str | None, error: Refused) -> bytes:
    return encode.refused(_clock.now(), request_id, error).data
