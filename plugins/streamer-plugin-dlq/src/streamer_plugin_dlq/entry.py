"""A dead letter: what its list shows, and how one is made of a request, a record or a message."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from streamer_core.model.codec import canonical, dumps, loads
from streamer_core.model.ids import REF
from streamer_core.model.nesting import too_deep
from streamer_core.model.request import Request
from streamer_core.records import record
from streamer_plugin_dlq import redaction
from streamer_plugin_dlq.settings import DlqSettings

REQUEST, STREAM, QUEUE = "request", "stream", "queue"
REDRIVEN, REPLAYED, DISCARDED = "redriven", "replayed", "discarded"
UNREADABLE = "UNREADABLE"
"""The code of what nobody can read."""
GIVEN_UP = "GIVEN_UP"
"""The code of a queue's message: what others put aside."""

_MOST_CHARS = 1000


@record
class Entry:
    """One dead letter, without its payload and stacks. Times are Unix ms.

    Args:
        id: its key: a request's ref and when that was accepted, the hash of a record, or the id of
            a queue's message.
        at: when it failed, was parked or was sent to its queue.
        source: `request`, `stream` or `queue`.
        ref: the request it is, or that it names.
        action, tenant, user: the request's.
        created_at: when the request was accepted.
        code, kind, message: the last failure's code, class and text for clients; of a record why
            it cannot be read; of a message `kind` is its queue's name.
        attempts: how many were made.
        redacted: something of it was left out.
        done: empty, or how it was dealt with: `redriven`, `replayed`, `discarded`.
        redriven_as: the ref of the new request.
    """

    id: str
    at: int
    source: str
    ref: str = ""
    action: str = ""
    tenant: str = ""
    user: str = ""
    created_at: int = 0
    code: str = ""
    kind: str = ""
    message: str = ""
    attempts: int = 0
    redacted: bool = False
    done: str = ""
    redriven_as: str = ""


@record
class Letter:
    """An entry with all that is to be kept of it: any JSON."""

    entry: Entry
    details: Any


def of_request(request: Request, settings: DlqSettings) -> Letter:
    """Make one of a request that has failed for good, its failures included."""
    last = request.failures[-1]
    details = redaction.of_request(request, settings)
    whole = (request.payload, request.metadata)
    entry = Entry(
        id=f"{request.ref}-{request.created_at:x}",
        at=last.at,
        source=REQUEST,
        ref=request.ref,
        action=request.action,
        tenant=request.tenant,
        user=request.user,
        created_at=request.created_at,
        code=last.code,
        kind=last.kind,
        message=last.message[:_MOST_CHARS],
        attempts=last.attempt,
        redacted=(details["payload"], details["metadata"]) != whole,
    )
    return Letter(entry=entry, details=details)


def of_record(
    stream_record: Mapping[str, Any], error: str, at: int, settings: DlqSettings
) -> Letter:
    """Make one of a record of a stream that nobody can read."""
    kept = redaction.of_record(stream_record, settings)
    redacted = kept != stream_record
    entry = Entry(
        id=hashlib.blake2b(canonical(stream_record).encode(), digest_size=16).hexdigest(),
        at=at,
        source=STREAM,
        ref=_named_in(stream_record) or "",
        code=UNREADABLE,
        message="" if redacted else error[:_MOST_CHARS],  # it may quote what is left out
        redacted=redacted,
    )
    return Letter(entry=entry, details=kept)


def of_message(message: Mapping[str, Any], queue: str, settings: DlqSettings) -> Letter:
    """Make one of a message of SQS, as ReceiveMessage gives it with its `SentTimestamp`."""
    body = _json_or_text(message["Body"])
    kept = redaction.of_record(body, settings)
    entry = Entry(
        id=message["MessageId"],
        at=int(message["Attributes"]["SentTimestamp"]),
        source=QUEUE,
        ref=_named_in(body) or "",
        code=GIVEN_UP,
        kind=queue.rpartition("/")[2],
        redacted=kept != body,
    )
    return Letter(entry=entry, details=kept)


def to_plain(entry: Entry) -> dict[str, Any]:
    """Give an entry as JSON-ready values, without those that are not set."""
    return {name: value for name, value in asdict(entry).items() if value}


def from_plain(plain: Mapping[str, Any]) -> Entry:
    """Make an entry of what `to_plain` gave, of this version or another."""
    return Entry(**{name: value for name, value in plain.items() if name in _NAMES})


_NAMES = frozenset(one.name for one in fields(Entry))


def _json_or_text(body: str) -> Any:
    """Give a message's body as JSON where it is some that can be written again."""
    try:
        value = loads(body)
        data = dumps(value).encode()
    except (ValueError, RecursionError):
        return body
    return body if too_deep(value, data) else value


def _named_in(value: Any) -> str | None:
    """Give the first request's ref in a record: under the name `ref`, as it is or with its type."""
    if isinstance(value, list):
        return next(filter(None, map(_named_in, value)), None)
    if not isinstance(value, Mapping):
        return None
    ref = value.get("ref")
    if isinstance(ref, Mapping):
        ref = ref.get("S")  # as an attribute of an item of DynamoDB
    if isinstance(ref, str) and REF.fullmatch(ref):
        return ref
    return _named_in(list(value.values()))
