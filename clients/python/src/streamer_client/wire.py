"""JSON text and frames: what may be sent, and in which pieces."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from streamer_client.errors import InvalidRequest, MessageTooLarge

# API Gateway's quotas page, WebSocket: message 128 KB, frame 32 KB. The page does not say
# whether a frame's header counts, so its 14 bytes at most are left free.
MESSAGE_LIMIT = 128 * 1024
FRAME_LIMIT = 32 * 1024 - 14


def encode(message: Mapping[str, Any]) -> bytes:
    """Make the text of a message, or raise InvalidRequest or MessageTooLarge."""
    try:
        text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        data = text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"this cannot be written as JSON: {error}") from error
    if len(data) > MESSAGE_LIMIT:
        raise too_large(len(data), MESSAGE_LIMIT)
    return data


def too_large(size: int, limit: int) -> MessageTooLarge:
    """Make the error of a message that is longer than a server takes."""
    return MessageTooLarge(
        f"the message is {size:,} bytes; the limit is {limit:,}"
        " (store large payloads elsewhere and send their address)"
    )


def decode(text: str | bytes) -> dict[str, Any] | None:
    """Read a message; None for what is not a JSON object."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def fragments(data: bytes, limit: int = FRAME_LIMIT) -> Iterator[bytes]:
    """Cut text into frames of at most ``limit`` bytes, never through a character."""
    start = 0
    while start < len(data):
        end = min(start + limit, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:  # a UTF-8 continuation byte
            end -= 1
        yield data[start:end]
        start = end
