"""What PROTOCOL.md says of a message, read off it once more and without regard to speed."""

import json
import math
import re
from typing import Any, NoReturn

DEEPEST = 64
MAX_DELAY_MS = 30 * 86_400_000
_NOTHING = object()


def refusal(data: bytes, max_bytes: int) -> str | None:
    """Give the error code that a message gets before anybody looks who is to have it, or None."""
    if len(data) > max_bytes:
        return "PAYLOAD_TOO_LARGE"
    body = _parsed(data)
    if not isinstance(body, dict) or body.get("action") is None:
        return "INVALID_MESSAGE"
    return None if _well_formed(body) else "VALIDATION_ERROR"


def named(data: bytes) -> str | None:
    """Give the id that the answer to a message must bear."""
    body = _parsed(data)
    if not isinstance(body, dict):
        return None
    name = body.get("id") if body.get("id") is not None else body.get("request_id")
    return name if _is_id(name) else None


def _parsed(data: bytes) -> Any:
    try:
        body = json.loads(data.decode(), parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return _NOTHING
    return body if _depth(body) <= DEEPEST else _NOTHING


def _refuse(_name: str) -> NoReturn:
    raise ValueError


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError
    return number


def _depth(body: Any) -> int:
    deepest, level = 0, [body]
    while level := [one for one in level if isinstance(one, dict | list)]:
        deepest += 1
        level = [
            inner for one in level for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return deepest


def _is_id(name: Any) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[\x21-\x7e]{1,128}", name) is not None


def _well_formed(body: dict[str, Any]) -> bool:
    action = body["action"]
    name = body.get("id") if body.get("id") is not None else body.get("request_id")
    parts = [body.get(key) for key in ("payload", "metadata", "options")]
    return (
        isinstance(action, str)
        and re.fullmatch(r"[A-Za-z0-9_.:-]{1,128}", action) is not None
        and (name is None or _is_id(name))
        and all(part is None or isinstance(part, dict) for part in parts)
        and all(isinstance(text, str) for text in (body.get("metadata") or {}).values())
        and _are_options(body.get("options") or {})
    )


def _are_options(options: dict[str, Any]) -> bool:
    delay = options.get("delay_ms", 0)
    return (
        options.get("priority", "normal") in ("high", "normal", "low")
        and options.get("mode", "auto") in ("auto", "sync", "async")
        and isinstance(delay, int)
        and not isinstance(delay, bool)
        and 0 <= delay <= MAX_DELAY_MS
    )
