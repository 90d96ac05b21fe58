"""A stored request: its record and its legal moves.

```
PENDING ──claim──> PROCESSING ──> COMPLETED | FAILED | CANCELLED
   ^                  │
   ├── no attempt spent: continue_later, an open circuit, a worker that drains
   └── RETRYING: an attempt spent: a failure, a timeout, a lapsed lease
PENDING | RETRYING ──cancel──> CANCELLED
```
"""

from collections.abc import Mapping
from dataclasses import MISSING, field, fields, replace
from enum import StrEnum
from typing import Any

from streamer_core.model.counter import Count
from streamer_core.model.message import Priority
from streamer_core.model.policy import Policy, Slot
from streamer_core.model.principal import Principal
from streamer_core.records import record

RECORD_VERSION = 1
KEPT_FAILURES = 100
KEPT_TRACES = 10
"""Of how many attempts all is kept, stack and details: each may have tens of kilobytes."""
_SHORT_CHARS = 200
ORIGIN_ALONE = 1
"""The `subscribers_version` of a request that its `connection_id` follows, and nobody else did yet:
who runs it need not ask the store who does."""


class Status(StrEnum):
    """Where a request stands."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    RETRYING = "RETRYING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def terminal(self) -> bool:
        """Whether nothing moves it any more."""
        return not MOVES[self]

    @property
    def waiting(self) -> bool:
        """Whether a worker may claim it once it is due."""
        return Status.PROCESSING in MOVES[self]

    @property
    def wire(self) -> str:
        """The name a client reads: `queued`, `processing`, …"""
        return "queued" if self is Status.PENDING else self.value.lower()

    def may_become(self, other: "Status") -> bool:
        """Tell whether the move is legal."""
        return other in MOVES[self]


_ENDS = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
MOVES: Mapping[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.PROCESSING, Status.CANCELLED}),
    Status.RETRYING: frozenset({Status.PROCESSING, Status.CANCELLED}),
    Status.PROCESSING: _ENDS | {Status.PENDING, Status.RETRYING},
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}


@record
class Snapshot:
    """The newest progress of an attempt. Ordered by `attempt`, then `n`.

    Args:
        percentage: 0 to 100; never falls within an attempt.
        message: a short text for people.
        metadata: any JSON object, or None.
        attempt: the attempt that reported it.
        n: counts the snapshots of the attempt, from 1.
        after: the `seq` of the last update stored when it was taken.
        at: Unix ms.
    """

    percentage: float
    message: str = ""
    metadata: Mapping[str, Any] | None = None
    attempt: int = 1
    n: int = 1
    after: int = 0
    at: int = 0


@record
class Failure:
    """One attempt's end, for operators only: no client ever sees `kind` or `trace`.

    Args:
        attempt: which one.
        code: the wire code it would end the request with.
        message: what the client may read.
        kind: the exception's class, or what the sweeper found.
        trace: the exception's text and stack.
        details: a `Reject`'s own.
        retryable: whether another attempt might heal it.
        retry_after_ms: after how many milliseconds the client may try again, where that is known.
        at: Unix ms.
        worker: who ran it.
    """

    attempt: int
    code: str
    message: str
    kind: str = ""
    trace: str = field(default="", repr=False)
    details: Any = None
    retryable: bool = True
    retry_after_ms: int | None = None
    at: int = 0
    worker: str = ""

    def shortened(self) -> "Failure":
        """Give what is kept of an attempt that lies back."""
        return replace(self, message=self.message[:_SHORT_CHARS], trace="", details=None)


def joined(failures: tuple[Failure, ...], failure: Failure | None) -> tuple[Failure, ...]:
    """Add an attempt's error, where it has one, to those of a request: all of the last ten, of the
    others in short."""
    if failure is None:
        return failures
    kept = (*failures, failure)[-KEPT_FAILURES:]
    return (*(one.shortened() for one in kept[:-KEPT_TRACES]), *kept[-KEPT_TRACES:])


@record(slots=False)  # a copy is a copy of `__dict__`
class Request:
    """The durable record of an async (or idempotent) request. Times are Unix ms.

    Args:
        ref: its key, see `streamer_core.model.ids.ref_of`.
        id: the client's name of it, unique within tenant and user.
        action: the handler.
        tenant, user, scopes: whose it is: the principal when it was accepted.
        payload, metadata: as sent; the payload is validated again by whoever runs it.
        digest: hash of action and payload, to tell a repeat from another request of the same id.
        priority: its lane.
        connection_id: where it came from, or None.
        policy: timeout and retry rules as they stood when it was accepted.
        slots: concurrency keys that must all have room before it is claimed.
        settle: counts applied once, in the same write that ends it; see `transitions.settlement`.
        created_at, due_at: accepted; may start.
        status, attempt, spent: `attempt` is the current or last one; `spent` counts those that
            failed.
        fence: rises with each claim; every write of a holder carries it.
        lease_until, worker: who holds it, and until when without a heartbeat.
        last_seq, sent_seq: the last update stored; the last known to have been sent.
        out_bytes: the sizes of all updates stored, added up; see `NewUpdate`.
        subscribers_version: rises with each subscription, so that a worker learns of newcomers;
            0: there was none yet; ORIGIN_ALONE: that of `connection_id`.
        progress: the newest snapshot kept.
        checkpoint, checkpoint_seq: the handler's state, and the last update it stands behind.
        cancel_requested_at: when a running request was asked to stop.
        started_at, claimed_at, finished_at: first claim; newest claim; terminal write.
        ran_ms: how long workers have held it: from a claim to its end or until it was given back,
            or to the end of the lease of one that was lost; rises when that has come.
        expires_at: when it may be forgotten: set by the terminal write, never before.
        outcome: the terminal message's body: `{"result": …}` or `{"error": …}`.
        failures: the errors of the last hundred attempts; of all but ten without stack and details.
        redriven_from: the ref of the dead letter this one repeats.
        version: of the record's shape.
        extra: fields of a newer version, kept as they were.
    """

    ref: str
    id: str
    action: str
    tenant: str
    user: str
    scopes: frozenset[str] = frozenset()
    payload: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    priority: Priority = Priority.NORMAL
    connection_id: str | None = None
    policy: Policy = field(default_factory=Policy)
    slots: tuple[Slot, ...] = ()
    settle: tuple[Count, ...] = ()
    created_at: int = 0
    due_at: int = 0
    status: Status = Status.PENDING
    attempt: int = 0
    spent: int = 0
    fence: int = 0
    lease_until: int | None = None
    worker: str | None = None
    last_seq: int = 0
    sent_seq: int = 0
    out_bytes: int = 0
    subscribers_version: int = 0
    progress: Snapshot | None = None
    checkpoint: Any = None
    checkpoint_seq: int = 0
    cancel_requested_at: int | None = None
    started_at: int | None = None
    claimed_at: int | None = None
    ran_ms: int = 0
    finished_at: int | None = None
    expires_at: int | None = None
    outcome: Mapping[str, Any] | None = None
    failures: tuple[Failure, ...] = ()
    redriven_from: str | None = None
    version: int = RECORD_VERSION
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def principal(self) -> Principal:
        """Whom the handler acts for."""
        return Principal(user=self.user, tenant=self.tenant, scopes=self.scopes)

    @classmethod
    def made_of(cls, values: Mapping[str, Any]) -> "Request":
        """Make one of field values that are known to be good: a quarter of the constructor's time.

        A store reads a record for each move of a request, and a record has many fields.
        """
        made = object.__new__(cls)
        made.__dict__.update(_DEFAULTS)
        made.__dict__.update(values)
        return made

    def changed(self, **changes: Any) -> "Request":
        """Give a copy with these fields changed, as `dataclasses.replace` does, only faster.

        Raises:
            KeyError: there is no such field.
        """
        if not changes.keys() <= _NAMES:
            raise KeyError(*(changes.keys() - _NAMES))
        made = object.__new__(Request)
        made.__dict__.update(self.__dict__)
        made.__dict__.update(changes)
        return made

    def owned_by(self, principal: Principal) -> bool:
        """Tell whether the principal may see it: its owner, or an admin of its tenant."""
        return self.tenant == principal.tenant and (
            self.user == principal.user or principal.is_admin
        )


_NAMES = frozenset(one.name for one in fields(Request))
_DEFAULTS: dict[str, Any] = {
    one.name: one.default if one.default_factory is MISSING else one.default_factory()
    for one in fields(Request)
    if one.default is not MISSING or one.default_factory is not MISSING
}
