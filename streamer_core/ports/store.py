"""Where everything that must outlive a process is kept.

Rules for whoever implements it (`streamer_core.testing.contracts.StoreContract` checks them):

- A write that returns is durable, and all of it happened or none.
- Writes are conditional, never read-then-write: of two that race, one wins and the other is told.
- An item whose `expires_at` has come is absent to every read, however late it is really deleted.
- Methods are called from any thread. Nothing returned is shared with the store's own state.
- Times are Unix milliseconds of the clock the store was opened with.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from streamer_core.errors import StoreError
from streamer_core.model.connection import Connection
from streamer_core.model.counter import Count
from streamer_core.model.message import Priority
from streamer_core.model.request import Failure, Request, Snapshot, Status
from streamer_core.model.update import NewUpdate, Update
from streamer_core.ports.clock import Clock
from streamer_core.ports.stored import (
    Change,
    Counted,
    Ending,
    Enqueued,
    Enqueuing,
    Feed,
    Held,
    Page,
    Query,
    Value,
)

_UNCHANGED: Any = object()


class Store(ABC):
    """Keeps connections, requests, updates, subscriptions, counters and small values.

    Args:
        clock: gives `now` to every rule about time.
    """

    unchanged: Any = _UNCHANGED
    """Pass as `checkpoint` to leave the stored one as it is."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    # -- its own life

    @abstractmethod
    def check(self) -> None:
        """Make a small round trip; raises StoreError where the store cannot read and write."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and threads; writes under way are finished first."""

    # -- connections

    @abstractmethod
    def put_connection(self, connection: Connection, *, counts: Sequence[Count] = ()) -> None:
        """Store a connection, or renew the one of the same id and with it its subscriptions.

        The counts are taken where it is new, in the same write. One that is there keeps the
        `settle` it was stored with; a new one that nothing is counted for has none.

        Raises:
            LimitReached: it is new and a count has no room; nothing was stored.
        """

    @abstractmethod
    def get_connection(self, connection_id: str) -> Connection | None:
        """Give a connection, or None."""

    @abstractmethod
    def delete_connection(self, connection_id: str) -> Connection | None:
        """Forget a connection and all its subscriptions; give it back, or None.

        Its `settle` is applied in the same write, once.
        """

    @abstractmethod
    def connections(
        self, *, tenant: str | None = None, user: str | None = None, limit: int = 1000
    ) -> Sequence[Connection]:
        """List open connections, oldest first; `user` needs `tenant`."""

    @abstractmethod
    def count_connections(self) -> int:
        """Count all open connections, for a gauge; what changed within a second may be missed."""

    @abstractmethod
    def expired_connections(self, limit: int = 100) -> Sequence[str]:
        """Give ids of stored connections whose time is over, for the sweeper to forget."""

    # -- requests: taking them in

    @abstractmethod
    def enqueue(
        self,
        request: Request,
        *,
        counts: Sequence[Count] = (),
        worker: str | None = None,
        lease_until: int | None = None,
    ) -> Enqueued:
        """Store a new request, once for each `ref`, and subscribe its `connection_id` to it.

        `subscribers_version` is `ORIGIN_ALONE` where that connection was known, else 0.

        Where a request of that `ref` is kept already, nothing is written but the subscription, and
        the stored one is given back, whatever its action: the caller compares digests.

        With `worker` and `lease_until` it is stored as claimed already (PROCESSING, attempt 1,
        fence 1), holding its slots without regard to their limits, and no `DUE` change is fed.
        Otherwise one is.

        Raises:
            LimitReached: a count has no room; nothing was stored.
            ItemTooLarge: the record is larger than the store can hold.
        """

    def enqueue_all(self, those: Sequence[Enqueuing]) -> Sequence[Enqueued | StoreError]:
        """Store several requests, each by itself; gives for each what `enqueue` gives or raises.

        A store that can make many writes durable at once should. Raises StoreError where none of
        them took effect.
        """
        return [self._enqueued(one) for one in those]

    def _enqueued(self, one: Enqueuing) -> Enqueued | StoreError:
        try:
            return self.enqueue(one.request, counts=one.counts)
        except StoreError as error:
            return error

    @abstractmethod
    def get(self, ref: str) -> Request | None:
        """Give a request, or None. Consistent: it sees every write that has returned."""

    @abstractmethod
    def query(self, query: Query, *, limit: int = 50, cursor: str | None = None) -> Page:
        """List requests, newest first. A cursor that is not the store's own raises ValueError."""

    # -- requests: holding them

    @abstractmethod
    def claim(self, ref: str, *, worker: str, lease_until: int) -> Request | None:
        """Take one due request; None where it is not due, not waiting, or a slot of it is full.

        Sets status, `attempt = spent + 1`, fence + 1, lease, `started_at` the first time, and takes
        its slots. A request that finds a slot full is set aside until that slot is let go.
        """

    @abstractmethod
    def claim_next(
        self, lanes: Sequence[Priority], *, worker: str, lease_until: int, at_most: int = 1
    ) -> Sequence[Request]:
        """Take the next due requests: by lane in the order given, then fair by tenant.

        Up to `at_most`, as if they were claimed one after the other; none where none is due.

        Fair: of the tenants with something to do, the one whose last claim (in that lane or in any,
        as the store keeps it) is longest ago comes first; within a tenant the one due first. Costs
        no more than logarithmic time in the number of waiting requests, those set aside for a full
        slot included.
        """

    @abstractmethod
    def heartbeat(
        self, ref: str, *, fence: int, lease_until: int, progress: Snapshot | None = None
    ) -> Held:
        """Extend the lease, and keep the newest progress. Raises LostLease."""

    @abstractmethod
    def append(
        self,
        ref: str,
        updates: Sequence[NewUpdate],
        *,
        fence: int,
        progress: Snapshot | None = None,
        checkpoint: Any = _UNCHANGED,
    ) -> Held:
        """Number and keep updates, in order, with the checkpoint that stands behind them.

        The updates get `last_seq + 1` and on; given a checkpoint, `checkpoint_seq` becomes the last
        of them. All at once or not at all.

        Raises:
            LostLease: the fence is old, or the request is not PROCESSING.
            ItemTooLarge: an update or the checkpoint is larger than the store can hold.
        """

    @abstractmethod
    def finish(
        self,
        ref: str,
        status: Status,
        updates: Sequence[NewUpdate],
        *,
        fence: int,
        expires_at: int,
        progress: Snapshot | None = None,
        failure: Failure | None = None,
        lapsed: bool = False,
    ) -> Held:
        """End a PROCESSING request: `status` is terminal and the last of `updates` too.

        `outcome` becomes the last update's body; `finished_at` now; `settle` is applied; its slots
        are let go (and whoever was set aside for them may be claimed: a DUE change); with `lapsed`
        it only happens where the lease is over, and an ENDED change is fed.

        Raises LostLease as `append` does, or where `lapsed` is asked for and the lease is not over.
        """

    def finish_all(self, endings: Sequence[Ending]) -> Sequence[Held | StoreError]:
        """End several requests, each by itself; gives for each what `finish` gives or raises.

        A store that can make many writes durable at once should. Raises StoreError where none of
        them took effect.
        """
        return [self._finished(ending) for ending in endings]

    def _finished(self, ending: Ending) -> Held | StoreError:
        try:
            return self.finish(
                ending.ref,
                ending.status,
                ending.updates,
                fence=ending.fence,
                expires_at=ending.expires_at,
                progress=ending.progress,
                failure=ending.failure,
                lapsed=ending.lapsed,
            )
        except StoreError as error:
            return error

    @abstractmethod
    def requeue(
        self,
        ref: str,
        *,
        fence: int,
        due_at: int,
        spend: bool,
        updates: Sequence[NewUpdate] = (),
        progress: Snapshot | None = None,
        checkpoint: Any = _UNCHANGED,
        failure: Failure | None = None,
        lapsed: bool = False,
    ) -> Held:
        """Give a PROCESSING request back: RETRYING where an attempt is spent, else PENDING.

        Otherwise as `append` and `finish`: updates numbered, checkpoint kept, slots let go, a DUE
        change fed, `lapsed` and LostLease likewise. The failure is `joined` to the others. A
        request that was asked to stop must not wait again: it raises Conflict; finish it as
        CANCELLED.
        """

    @abstractmethod
    def cancel(self, ref: str, terminal: NewUpdate, *, expires_at: int) -> Request | None:
        """Cancel: a waiting request ends at once, a running one is flagged, an ended one stays.

        Gives the record after it, or None where there is none. A waiting one gets `terminal` as its
        last update, is settled, and an ENDED change is fed.
        """

    @abstractmethod
    def updates(self, ref: str, *, after: int = 0, limit: int = 200) -> Sequence[Update]:
        """Give the updates with a greater `seq`, in order."""

    @abstractmethod
    def mark_sent(self, ref: str, seq: int) -> None:
        """Note that all updates up to `seq` were handed to the transport.

        `sent_seq` never falls. May return before it is durable: a note that is lost costs a
        repeated send.
        """

    # -- requests: what the sweeper looks for

    @abstractmethod
    def due(self, before: int, limit: int = 100) -> Sequence[Change]:
        """Give waiting requests due before the time, but for those set aside for a full slot."""

    @abstractmethod
    def lapsed(self, limit: int = 100) -> Sequence[Request]:
        """Give PROCESSING requests whose lease is over."""

    @abstractmethod
    def cancelling(self, before: int, limit: int = 100) -> Sequence[Request]:
        """Give PROCESSING requests asked to stop before the time."""

    @abstractmethod
    def unsent(self, before: int, limit: int = 100) -> Sequence[Request]:
        """Give requests with `sent_seq < last_seq` whose last update was stored before the time."""

    @abstractmethod
    def purge(self, limit: int = 1000) -> int:
        """Delete up to `limit` expired items for good, with what belongs to them; give how many.

        A store whose database does that by itself gives 0.
        """

    # -- subscriptions

    @abstractmethod
    def subscribe(self, subject: str, connection_id: str, *, expires_at: int) -> None:
        """Subscribe a connection. On `request_subject(ref)` the request's `subscribers_version`
        rises above `ORIGIN_ALONE` in the same write."""

    @abstractmethod
    def unsubscribe(self, subject: str, connection_id: str) -> None:
        """End a subscription; one that is not there is no error. The version rises likewise."""

    @abstractmethod
    def subscribers(self, subject: str) -> Sequence[str]:
        """Give the ids of the connections subscribed."""

    # -- counters and small values

    @abstractmethod
    def count(self, counts: Sequence[Count]) -> Counted:
        """Apply all counts in one step, or none where one has no room."""

    @abstractmethod
    def get_value(self, key: str) -> Value | None:
        """Give a small value, or None."""

    @abstractmethod
    def put_value(
        self, key: str, data: Any, *, expires_at: int | None = None, version: int | None = None
    ) -> int:
        """Write a small value (≤ 64 KB of JSON) and give its new version.

        `version`: None writes always, 0 only where there is none, n only over that version.

        Raises:
            Conflict: the stored version is another.
        """

    @abstractmethod
    def delete_value(self, key: str) -> None:
        """Forget a small value."""

    @abstractmethod
    def values(
        self, prefix: str, limit: int = 1000, *, after: str | None = None
    ) -> Mapping[str, Value]:
        """List the small values whose key begins with the prefix, in the order of their keys.

        `after`: only those that come after this key, stored or not: the last of an earlier page.
        Letters and digits are in ASCII's order; where other characters are is the store's own.
        """

    def all_values(self, prefix: str) -> Iterator[tuple[str, Value]]:
        """Go through all small values whose key begins with the prefix, a page at a time."""
        after = None
        while page := self.values(prefix, after=after):
            yield from page.items()
            *_, after = page

    # -- change feed

    @abstractmethod
    def open_feed(self) -> Feed:
        """Read the changes from now on."""

    def change_of(self, record: Mapping[str, Any]) -> Change | None:  # noqa: ARG002
        """Read a record of the store's own stream, where a platform brings those to a function.

        None: it tells of nothing to do.

        Raises:
            ValueError: it is no such record, or this store has no stream.
        """
        raise ValueError(f"{type(self).__name__} has no stream of its own")
