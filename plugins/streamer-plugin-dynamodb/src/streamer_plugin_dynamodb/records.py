"""Requests to items and back.

An item holds what changes often and what indexes are made of as attributes, and four texts of JSON:
`body` (what never changes, fields of newer versions included), `checkpoint`, `failures` and
`outcome` (the terminal update). A text that is long lies apart, as an item of the updates table, so
that a heartbeat does not write it again: DynamoDB counts the whole item at each write. Attributes
that a newer version has added stay as they are: writes name what they change.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, fields, replace
from typing import Any

from streamer_core.errors import ItemTooLarge
from streamer_core.model.codec import dumps, fields_of, loads, request_to_plain, request_values
from streamer_core.model.request import Failure, Request, Status
from streamer_core.model.update import Kind, Update
from streamer_core.records import record
from streamer_plugin_dynamodb.items import MOST_BYTES, Plain, check_size, key

SHARDS = 4
"""Over how many keys an index is spread that has no other: each takes 1,000 writes a second."""

APART_FROM = 1024  # characters: what a write costs is counted in units of 1 KB

_NAMES = (
    *("ref", "due_at", "attempt", "spent", "fence", "lease_until", "worker", "last_seq"),
    *("sent_seq", "subscribers_version", "checkpoint_seq", "cancel_requested_at", "started_at"),
    *("claimed_at", "ran_ms", "out_bytes", "finished_at", "expires_at"),
)
_TEXTS = ("body", "checkpoint", "failures", "outcome")
_CHANGING = {*_NAMES, "status", "progress", "checkpoint", "failures", "outcome"}
_BODY_NAMES = {one.name for one in fields(Request)} - _CHANGING - {"extra"}
_LONGEST_SLOTS = 512  # characters, of all a request needs
_PACKED_BYTES = 300 * 1024
_MOST_TOGETHER = 4 * 1024 * 1024  # what a transaction may hold

Text = str | int
"""A text, or the number under which it lies apart."""


@record
class Stored:
    """A request as it is stored.

    Args:
        request: the record.
        life: told apart from the lives before it of the same ref, which have expired.
        texts: those of the four that there are.
        apart: how many texts were ever put apart.
        origin: the connection that follows it since it was enqueued.
        stored_at: when its last update was stored.
        revision: rises with each write; a write names the one it has seen.
        ttl: when DynamoDB may delete it; set once it has ended and all of it was sent.
    """

    request: Request
    life: str
    texts: Mapping[str, Text] = field(default_factory=dict)
    apart: int = 0
    origin: str | None = None
    stored_at: int = 0
    revision: int = 0
    ttl: int | None = None

    @property
    def updates_key(self) -> str:
        """Give the key of its items in the updates table."""
        return f"{self.request.ref}.{self.life}"

    def with_text(self, name: str, text: str | None) -> tuple["Stored", list[Plain]]:
        """Give it with another text, and the items to put for it."""
        texts: dict[str, Text] = {**self.texts}
        if text is None:
            texts.pop(name, None)
            return replace(self, texts=texts), []
        if len(text) <= APART_FROM:
            return replace(self, texts={**texts, name: text}), []
        number = self.apart + 1
        item = {"request": self.updates_key, "n": -number, "text": text}
        check_size(item, f"the {name} of request {self.request.ref}")
        return replace(self, texts={**texts, name: number}, apart=number), [item]

    def left_behind(self, after: "Stored") -> list[Plain]:
        """Give the keys of texts that lie apart and are not in use after a move."""
        unused = set(_apart(self.texts.values())) - set(_apart(after.texts.values()))
        return [{"request": self.updates_key, "n": -number} for number in sorted(unused)]


def body_of(request: Request) -> str:
    """Give what never changes of a request.

    Raises:
        TypeError, ValueError: JSON cannot hold it.
    """
    plain = request_to_plain(request)
    return dumps({name: plain[name] for name in plain if name not in _CHANGING})


def failures_of(failures: Sequence[Failure]) -> str | None:
    """Give the failed attempts as text."""
    return dumps([fields_of(failure) for failure in failures]) if failures else None


def outcome_of(update: Update) -> str:
    """Give the terminal update as text."""
    return dumps(_packed(update))


def row(stored: Stored) -> dict[str, Any]:
    """Give a request's attributes, but for what a write tells the feed."""
    request = stored.request
    waits, held = request.status.waiting, request.status is Status.PROCESSING
    shard = shard_of(request.ref)
    tenant = key(request.tenant)
    return {
        **{name: getattr(request, name) for name in _NAMES},
        **{name: stored.texts.get(name) for name in _TEXTS},
        "status": request.status.value,
        "progress": dumps(fields_of(request.progress)) if request.progress else None,
        "life": stored.life,
        "apart": stored.apart,
        "origin": stored.origin,
        "stored_at": stored.stored_at,
        "revision": stored.revision,
        "ttl": stored.ttl,
        "queue": queue_of(request) if waits else None,
        "watch": f"due/{shard}" if waits else f"lease/{shard}" if held else None,
        "watch_at": request.due_at if waits else request.lease_until if held else None,
        "unsent": shard if request.sent_seq < request.last_seq else None,
        "stopping": shard if held and request.cancel_requested_at is not None else None,
        "of_user": key(request.tenant, request.user),
        "of_tenant": f"{tenant}/{shard}",
        "of_action": f"{key(request.action)}/{shard}",
        "phase": f"{phase_of(request.status)}/{shard}",
        "listed": f"{request.created_at:015d}/{request.ref}",
    }


def stored_of(item: Plain, apart: Mapping[int, str]) -> Stored:
    """Read a request's item, given the texts of it that lie apart."""
    texts = {name: item[name] for name in _TEXTS if name in item}

    def text(name: str) -> str | None:
        kept = texts.get(name)
        return apart[kept] if isinstance(kept, int) else kept

    plain = loads(text("body") or "{}")
    plain["failures"] = loads(text("failures") or "[]")
    plain["progress"] = loads(item["progress"]) if "progress" in item else None
    values = request_values(plain)
    values |= {name: item[name] for name in _NAMES if name in item}
    values["status"] = Status(item["status"])
    values["checkpoint"] = loads(text("checkpoint") or "null")
    outcome = text("outcome")
    values["outcome"] = loads(outcome)["body"] if outcome else None
    return Stored(
        request=Request.made_of(values),
        life=item["life"],
        texts=texts,
        apart=item["apart"],
        origin=item.get("origin"),
        stored_at=item["stored_at"],
        revision=item["revision"],
        ttl=item.get("ttl"),
    )


def apart_keys(item: Plain) -> list[Plain]:
    """Give the keys of a request's texts that lie apart."""
    owner = f"{item['ref']}.{item['life']}"
    return [
        {"request": owner, "n": -number} for number in _apart(item.get(name) for name in _TEXTS)
    ]


def _apart(texts: Iterable[Any]) -> list[int]:
    return [text for text in texts if isinstance(text, int)]


def pack(stored: Stored, updates: Sequence[Update]) -> list[dict[str, Any]]:
    """Give the items that keep updates: as many in one as fit.

    Raises:
        ItemTooLarge: one of them alone is larger than an item may be, or all of them together
            than a transaction.
        TypeError, ValueError: JSON cannot hold one.
    """
    items: list[dict[str, Any]] = []
    held: list[str] = []
    size = total = 0

    def close(last: Update) -> None:
        item = {"request": stored.updates_key, "n": last.seq, "updates": f"[{','.join(held)}]"}
        check_size(item, f"an update of request {stored.request.ref}")
        items.append(item)
        held.clear()

    for place, update in enumerate(updates):
        text = dumps(_packed(update))
        if held and size + len(text) > _PACKED_BYTES:
            close(updates[place - 1])
            size = 0
        held.append(text)
        size += len(text)
        total += len(text)
    if total > _MOST_TOGETHER - MOST_BYTES:
        raise ItemTooLarge(f"{total} bytes of updates at once are more than one write may hold")
    if held:
        close(updates[-1])
    return items


def unpack(item: Plain) -> list[Update]:
    """Read the updates that an item keeps."""
    packed = loads(item["updates"])
    first = item["n"] - len(packed) + 1
    return [_update(one, seq) for seq, one in enumerate(packed, first)]


def terminal_of(stored: Stored, text: str) -> Update:
    """Read the terminal update of a request that has ended."""
    return _update(loads(text), stored.request.last_seq)


def _packed(update: Update) -> dict[str, Any]:
    return {
        "kind": update.kind,
        "attempt": update.attempt,
        "at": update.at,
        "body": update.body,
    }


def _update(packed: Mapping[str, Any], seq: int) -> Update:
    return Update(
        seq=seq,
        kind=Kind(packed["kind"]),
        attempt=packed["attempt"],
        at=packed["at"],
        body=packed["body"],
    )


def shard_of(name: str) -> str:
    """Give the shard of a ref or an id."""
    return str(zlib.crc32(name.encode()) % SHARDS)


def shards() -> list[str]:
    """Give all shards."""
    return [str(number) for number in range(SHARDS)]


def phase_of(status: Status) -> str:
    """Give what the list by phase is kept by: `OPEN`, or how it ended."""
    return status.value if status.terminal else "OPEN"


def queue_of(request: Request) -> str:
    """Give the queue that a request waits in: that of its lane, tenant and slots."""
    slots = key(*sorted({slot.key for slot in request.slots}))
    if len(slots) > _LONGEST_SLOTS:
        slots = key(slots)
    return f"{request.priority}/{key(request.tenant)}/={slots}"
