"""What the store's verbs take and give."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from streamer_core.model.counter import Count
from streamer_core.model.message import Priority
from streamer_core.model.request import Failure, Request, Snapshot, Status
from streamer_core.model.update import NewUpdate
from streamer_core.records import record


@record
class Enqueued:
    """What `enqueue` found or made; `created` is False for a repeat."""

    request: Request
    created: bool


@record
class Enqueuing:
    """A new request and what is counted with it: what `enqueue` is given."""

    request: Request
    counts: Sequence[Count] = ()


@record
class Held:
    """What a holder learns from each of its writes.

    Args:
        last_seq, out_bytes: the request's, after the write.
        subscribers_version: differs from the last one seen: read the subscribers again.
        cancel_requested: somebody asked the request to stop.
    """

    last_seq: int
    out_bytes: int
    subscribers_version: int
    cancel_requested: bool

    @classmethod
    def of(cls, request: Request) -> "Held":
        """Give what a write tells that leaves the request like this."""
        return cls(
            last_seq=request.last_seq,
            out_bytes=request.out_bytes,
            subscribers_version=request.subscribers_version,
            cancel_requested=request.cancel_requested_at is not None,
        )


@record
class Ending:
    """The end of a held request: what `finish` is given.

    `known`: the request as its holder knows it. Where its `fence` and `last_seq` are the stored
    ones, so is all else but what others may change meanwhile (`subscribers_version`,
    `cancel_requested_at`, `sent_seq`, the lease): a store may then write the end without reading
    the record first.
    """

    ref: str
    status: Status
    updates: Sequence[NewUpdate]
    fence: int
    expires_at: int
    progress: Snapshot | None = None
    failure: Failure | None = None
    lapsed: bool = False
    known: Request | None = None


@record
class Counted:
    """Whether all counts had room, and the levels after them (or as they stand)."""

    accepted: bool
    levels: tuple[float, ...]
    refused: Count | None = None
    retry_after_ms: int | None = None


@record
class Query:
    """Which requests to list; None means any. `created_at` lies in [`since`, `until`)."""

    tenant: str | None = None
    user: str | None = None
    statuses: frozenset[Status] | None = None
    action: str | None = None
    since: int | None = None
    until: int | None = None


@record
class Page:
    """Requests, newest first; `cursor` asks for the rest, None where there is none."""

    items: tuple[Request, ...]
    cursor: str | None = None


@record
class Value:
    """A small value: any JSON, with the version that the next conditional write must name."""

    data: Any
    version: int


class ChangeKind(StrEnum):
    """`DUE`: the request may be claimed at `due_at`. `ENDED`: it was ended by somebody who holds
    no lease (a cancel, the sweeper), so its terminal message may still have to be sent."""

    DUE = "due"
    ENDED = "ended"


@record
class Change:
    """One record of the change feed."""

    kind: ChangeKind
    ref: str
    lane: Priority = Priority.NORMAL
    due_at: int = 0


class Feed(ABC):
    """A reader of the changes committed, by any process, after it was opened.

    It is a hint that makes things prompt: records may come twice or out of order, and after a crash
    some never come. The sweeper finds what a feed missed.
    """

    @abstractmethod
    def get(self, timeout_s: float) -> Sequence[Change]:
        """Wait for changes without polling; empty after `timeout_s`, or once closed."""

    @abstractmethod
    def close(self) -> None:
        """End it; a waiting `get` returns at once."""
