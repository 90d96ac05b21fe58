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
    paths = [path.split(".") for path in settings.redact]
    for name in ("payload", "metadata"):
        plain[name] = _blanked(plain[name], paths, ()) if settings.payload else {}
    for failure in plain["failures"]:
        failure["details"] = _blanked(failure["details"], paths, ()) if settings.payload else None
    return plain


def of_record(record: Any, settings: DlqSettings) -> Any:
    """Give a record that nobody can read: all of it, or only what says which one it is.

    Fields cannot be found by name in what cannot be read, so that one name is enough to leave all
    out.
    """
    return record if settings.payload and not settings.redact else _named(record)


def _blanked(value: Any, paths: Sequence[Sequence[str]], at: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        return {
            name: BLANK if any(_ends(here, path) for path in paths) else _blanked(one, paths, here)
            for name, one in value.items()
            for here in [(*at, name)]
        }
    if isinstance(value, list):
        return [_blanked(one, paths, at) for one in value]
    return value


def _ends(at: Sequence[str], path: Sequence[str]) -> bool:
    return list(at[-len(path) :]) == list(path)


def _named(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _named(one, name if name == "ref" else key) for key, one in value.items()}
    if isinstance(value, list):
        return [_named(one, name) for one in value]
    names_it = name in _NAMING or (
        name == "ref" and isinstance(value, str) and REF.fullmatch(value)
    )
    return value if names_it else BLANK
