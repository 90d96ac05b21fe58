"""A text frame to a `Message`, or the error that PROTOCOL.md names for it."""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from streamer_core.errors import Invalid, InvalidMessage, TooLarge
from streamer_core.model.message import Message, Mode, Options, Priority
from streamer_core.model.nesting import too_deep

_ACTION = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
REQUEST_ID = re.compile(r"[!-~]{1,128}")  # printable ASCII without the space
_SHOWN_CHARS = 100


def decode(data: bytes, *, max_bytes: int, max_delay_ms: int, new_id: Callable[[], str]) -> Message:
    """Decode one client message.

    Args:
        data: the frame's text, as UTF-8.
        max_bytes: the longest message taken.
        max_delay_ms: the longest `options.delay_ms` taken.
        new_id: makes an id where the client gave none.

    Raises:
        TooLarge: it is longer.
        InvalidMessage: not UTF-8, not JSON, not an object, or without an action.
        Invalid: a field has the wrong shape.
    """
    if len(data) > max_bytes:
        raise TooLarge(f"A message may have {max_bytes} bytes; this one has {len(data)}")
    body = _object(data)
    action = body.get("action")
    if action is None:
        raise InvalidMessage("The message has no action")
    if not isinstance(action, str) or not _ACTION.fullmatch(action):
        raise Invalid.field("action", "must be 1 to 128 characters of A-Z a-z 0-9 _ . : -")
    named = _named(body)
    if named is not None and (not isinstance(named, str) or not REQUEST_ID.fullmatch(named)):
        raise Invalid.field("id", "must be 1 to 128 printable ASCII characters without spaces")
    return Message(
        id=new_id() if named is None else named,
        named=named is not None,
        action=action,
        payload=_mapping(body, "payload"),
        metadata=_metadata(body),
        options=_options(_mapping(body, "options"), max_delay_ms),
        size=len(data),
    )


def request_id_of(data: bytes) -> str | None:
    """Find the id of a message that was refused, so that its error can name it."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return None
    named = _named(body) if isinstance(body, dict) else None
    return named if isinstance(named, str) and REQUEST_ID.fullmatch(named) else None


def _object(data: bytes) -> dict[str, Any]:
    try:
        body = _decoder.decode(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise InvalidMessage("The message is not UTF-8") from None
    except RecursionError:
        raise InvalidMessage("The message is nested too deeply") from None
    except ValueError:  # JSONDecodeError, and numbers greater than Python converts
        raise InvalidMessage("The message is not JSON") from None
    if not isinstance(body, dict):
        raise InvalidMessage("The message is not a JSON object")
    if too_deep(body, data):
        raise InvalidMessage("The message is nested too deeply")
    return body


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)  # 1e999 is JSON, but nothing could write it again
    return number


_decoder = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)


def _named(body: Mapping[str, Any]) -> Any:
    named = body.get("id")
    return body.get("request_id") if named is None else named


def _mapping(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid.field(name, "must be a JSON object")
    return value


def _metadata(body: Mapping[str, Any]) -> Mapping[str, str]:
    metadata = _mapping(body, "metadata")
    for name, value in metadata.items():
        if not isinstance(value, str):
            raise Invalid.field(f"metadata.{name[:_SHOWN_CHARS]}", "must be a string")
    return metadata


def _options(options: Mapping[str, Any], max_delay_ms: int) -> Options:
    if not options:
        return _DEFAULT_OPTIONS
    delay = options.get("delay_ms", 0)
    if isinstance(delay, bool) or not isinstance(delay, int) or not 0 <= delay <= max_delay_ms:
        raise Invalid.field("options.delay_ms", f"must be a whole number from 0 to {max_delay_ms}")
    return Options(
        priority=_choice(Priority, options, "priority", Priority.NORMAL),
        delay_ms=delay,
        mode=_choice(Mode, options, "mode", Mode.AUTO),
    )


def _choice(kind: Any, options: Mapping[str, Any], name: str, default: Any) -> Any:
    try:
        return kind(options.get(name, default))
    except ValueError:
        known = ", ".join(kind)
        raise Invalid.field(f"options.{name}", f"must be one of {known}") from None


_DEFAULT_OPTIONS = Options()
