"""Leaving out what nobody may read later."""

from collections.abc import Mapping, Sequence
from typing import Any

from streamer_core.model.codec import request_to_plain
from streamer_core.model.ids import REF
from streamer_core.model.request import Request
from streamer_plugin_dlq.settings import DlqSettings

BLANK = "[redacted]"

_NAMING = frozenset(
    {
        *("eventID", "eventName", "eventSource", "eventSourceARN", "awsRegion", "SequenceNumber"),
        *("functionArn", "condition", "approximateInvokeCount", "requestId", "timestamp"),
        *("shardId", "startSequenceNumber", "endSequenceNumber", "batchSize", "streamArn"),
        *("lane", "due_at"),
    }
)
"""What in a record only says which one it is: names of DynamoDB's stream records, of what Lambda
tells of a batch that it gave up, and of what wakes a worker."""


def of_request(request: Request, settings: DlqSettings) -> dict[str, Any]:
    """Give a request's record with what its operator needs and may have.

    How far it had come is left out: it is no use to a new request, and may hold anything.
    """
    plain = request_to_plain(
        request.changed(checkpoint=None, progress=None, outcome=None, settle=(), extra={})
    )
    for name in ("payload", "metadata"):
        plain[name] = _blanked(plain[name], settings.redact) if settings.payload else {}
    for failure in plain["failures"]:
        details = failure["details"]
        failure["details"] = _blanked(details, settings.redact) if settings.payload else None
    return plain


def of_record(record: Any, settings: DlqSettings) -> Any:
    """Give a record that nobody can read: all of it, or only what says which one it is.

    Fields cannot be found by name in what cannot be read, so that one name is enough to leave all
    out.
    """
    return record if settings.payload and not settings.redact else _named(record)


def _blanked(value: Any, paths: Sequence[str], at: str = "") -> Any:
    """Blank what lies at the end of one of the paths; a name may have dots of its own."""
    if any(at.endswith(f".{path}") for path in paths):
        return BLANK
    if isinstance(value, Mapping):
        return {name: _blanked(one, paths, f"{at}.{name}") for name, one in value.items()}
    if isinstance(value, list):
        return [_blanked(one, paths, at) for one in value]
    return value


def _named(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _named(one, name if name == "ref" else key) for key, one in value.items()}
    if isinstance(value, list):
        return [_named(one, name) for one in value]
    names_it = name in _NAMING or (
        name == "ref" and isinstance(value, str) and REF.fullmatch(value)
    )
    return value if names_it else BLANK
