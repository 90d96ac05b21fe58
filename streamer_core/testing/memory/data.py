"""What a memory store keeps; several stores may be opened on the same data, as on a file."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from streamer_core.errors import ItemTooLarge
from streamer_core.model import transitions
from streamer_core.model.codec import dumps, loads, request_from_plain, request_to_plain
from streamer_core.model.connection import Connection
from streamer_core.model.ids import request_subject
from streamer_core.model.request import Request
from streamer_core.model.transitions import Moved
from streamer_core.model.update import NewUpdate, Update
from streamer_core.testing.memory.counters import Counters
from streamer_core.testing.memory.feed import FeedHub
from streamer_core.testing.memory.slots import Slots


@dataclass(kw_only=True, slots=True)
class Row:
    """A request, its updates, when the last of them was stored, and how many came before it."""

    request: Request
    updates: list[Update] = field(default_factory=list)
    stored_at: int = 0
    order: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptValue:
    """A small value as JSON text, which nobody can change by accident."""

    text: str
    version: int
    expires_at: int | None


class MemoryData:
    """Tables and their lock. Whoever reads or writes them holds the lock."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.rows: dict[str, Row] = {}
        self.waiting: set[str] = set()
        self.last_claims: dict[str, int] = {}
        self.connections: dict[str, Connection] = {}
        self.subscriptions: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self.values: dict[str, KeptValue] = {}
        self.slots = Slots()
        self.counters = Counters()
        self.hub = FeedHub(self.lock)
        self._made = 0

    def row(self, ref: str, now: int) -> Row | None:
        """Give the row of a request that has not expired."""
        row = self.rows.get(ref)
        return None if row is None or transitions.expired(row.request, now) else row

    def live(self, now: int) -> Iterator[Row]:
        """Give the rows of all requests that have not expired."""
        return (row for row in self.rows.values() if not transitions.expired(row.request, now))

    def add(self, request: Request) -> Row:
        """Store a new request in place of an expired one, if there is one."""
        self.forget(request.ref)
        self._made += 1
        row = Row(request=request, order=self._made)
        self.rows[request.ref] = row
        self._note_waiting(request)
        return row

    def move(self, row: Row, moved: Moved, now: int) -> None:
        """Store a request's next state with its new updates."""
        row.request = moved.request
        if moved.updates:
            row.updates.extend(moved.updates)
            row.stored_at = now
        self._note_waiting(moved.request)

    def forget(self, ref: str) -> None:
        """Delete a request with all that belongs to it."""
        self.rows.pop(ref, None)
        self.waiting.discard(ref)
        self.slots.forget(ref)
        self.subscriptions.pop(request_subject(ref), None)

    def note_claim(self, tenant: str) -> None:
        """Remember whose turn it was; a count, since many claims fit into a millisecond."""
        self.last_claims[tenant] = 1 + max(self.last_claims.values(), default=0)

    def _note_waiting(self, request: Request) -> None:
        if request.status.waiting:
            self.waiting.add(request.ref)
        else:
            self.waiting.discard(request.ref)
            self.slots.forget(request.ref)


def copied(value: Any) -> Any:
    """Give a JSON value that shares nothing with the one given."""
    return loads(dumps(value))


def copied_request(request: Request, max_bytes: int | None = None) -> Request:
    """Give a request through the codec, as a store with a disk would.

    Raises:
        ItemTooLarge: it has more than `max_bytes`.
    """
    text = dumps(request_to_plain(request))
    _check_size(text, max_bytes)
    return request_from_plain(loads(text))


def copied_update(update: Update) -> Update:
    """Give an update that shares nothing with the one given."""
    return replace(update, body=copied(update.body))


def copied_new(updates: Sequence[NewUpdate], max_bytes: int | None) -> list[NewUpdate]:
    """Give updates that share nothing with those given.

    Raises:
        ItemTooLarge: one of them has more than `max_bytes`.
    """
    return [replace(update, body=_sized(update.body, max_bytes)) for update in updates]


def _sized(body: Mapping[str, Any], max_bytes: int | None) -> Any:
    text = dumps(body)
    _check_size(text, max_bytes)
    return loads(text)


def _check_size(text: str, max_bytes: int | None) -> None:
    if max_bytes is not None and len(text) > max_bytes:
        raise ItemTooLarge(f"{len(text)} bytes where {max_bytes} fit")
