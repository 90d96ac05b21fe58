"""Holding requests: reports of whoever has the lease, and how a request ends."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from streamer_core.errors import LostLease, StoreError
from streamer_core.model import transitions
from streamer_core.model.codec import dumps
from streamer_core.model.request import Failure, Request, Snapshot, Status
from streamer_core.model.transitions import Checkpoint, Moved
from streamer_core.model.update import NewUpdate
from streamer_core.ports import Ending, Held, Store
from streamer_plugin_sqlite import changes, levels, queues, records, slots
from streamer_plugin_sqlite.base import Base
from streamer_plugin_sqlite.database import Database
from streamer_plugin_sqlite.records import Record


class HoldingVerbs(Base):
    """The store's verbs for whoever holds a request, and `cancel`."""

    def heartbeat(
        self, ref: str, *, fence: int, lease_until: int, progress: Snapshot | None = None
    ) -> Held:
        """Extend the lease, and keep the newest progress. Raises LostLease."""

        def write(db: Database) -> Held:
            held = self._held(db, ref)
            extended = transitions.extended(
                held.request, fence=fence, lease_until=lease_until, progress=progress
            )
            records.save(db, held, extended)
            return Held.of(extended)

        return self._write(write)

    def append(
        self,
        ref: str,
        updates: Sequence[NewUpdate],
        *,
        fence: int,
        progress: Snapshot | None = None,
        checkpoint: Any = Store.unchanged,
    ) -> Held:
        """Number and keep updates, in order, with the checkpoint that stands behind them."""
        bodies = _bodies(updates)

        def write(db: Database) -> Held:
            held = self._held(db, ref)
            moved = transitions.appended(
                held.request,
                updates,
                fence=fence,
                progress=progress,
                checkpoint=_checkpoint(checkpoint),
            )
            self._keep(db, held, moved, bodies)
            _keep_checkpoint(db, held, checkpoint)
            return Held.of(moved.request)

        return self._write(write)

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
        """End a PROCESSING request: `status` is terminal and the last of `updates` too."""
        ending = Ending(
            ref=ref,
            status=status,
            updates=updates,
            fence=fence,
            expires_at=expires_at,
            progress=progress,
            failure=failure,
            lapsed=lapsed,
        )
        bodies = _bodies(updates)
        return self._write(lambda db: self._end(db, ending, bodies))

    def finish_all(self, endings: Sequence[Ending]) -> Sequence[Held | StoreError]:
        """End several requests in one transaction, which reads no record that is as it is known."""
        prepared = [(ending, _bodies(ending.updates), self._foreseen(ending)) for ending in endings]

        def write(db: Database) -> Sequence[Held | StoreError]:
            return [
                (foreseen and self._end_unread(db, ending, bodies, *foreseen))
                or self._end_or_lose(db, ending, bodies)
                for ending, bodies, foreseen in prepared
            ]

        return self._write(write)

    def _foreseen(self, ending: Ending) -> tuple[Moved, dict[str, Any]] | None:
        """Work out the end of a request, and the columns it changes, from what its holder knows."""
        known = ending.known
        if known is None or known.settle or known.slots or ending.lapsed:
            return None
        now = self.clock.now()
        try:
            moved = _finished(known, ending, now)
        except LostLease:
            return None
        columns = {**records.differing(known, moved.request), "stored_at": now}
        columns.pop("ran_ms", None)  # nobody knows its lease but the record
        return moved, columns

    def _end_unread(
        self,
        db: Database,
        ending: Ending,
        bodies: Sequence[str],
        moved: Moved,
        columns: Mapping[str, Any],
    ) -> Held | None:
        """End a request as foreseen; None where it is not as its holder knows it."""
        assert ending.known is not None
        row = records.save_unread(db, ending.known, columns, self.clock.now())
        if row is None:
            return None
        n, subscribers_version, cancel_requested_at = row
        _put_updates(db, n, moved, bodies)
        if ending.failure is not None:
            records.put_failures(db, n, moved.request.failures)
        ended = moved.request.changed(
            subscribers_version=subscribers_version, cancel_requested_at=cancel_requested_at
        )
        return Held.of(ended)

    def _end_or_lose(
        self, db: Database, ending: Ending, bodies: Sequence[str]
    ) -> Held | StoreError:
        try:
            return self._end(db, ending, bodies)
        except LostLease as error:  # it is raised before anything is written
            return error

    def _end(self, db: Database, ending: Ending, bodies: Sequence[str]) -> Held:
        now = self.clock.now()
        held = self._held(db, ending.ref, failing=ending.failure is not None)
        moved = _finished(held.request, ending, now)
        self._keep(db, held, moved, bodies)
        _settle(db, moved.request, now, by_others=ending.lapsed)
        slots.let_go(db, moved.request.slots, now)
        return Held.of(moved.request)

    def requeue(
        self,
        ref: str,
        *,
        fence: int,
        due_at: int,
        spend: bool,
        updates: Sequence[NewUpdate] = (),
        progress: Snapshot | None = None,
        checkpoint: Any = Store.unchanged,
        failure: Failure | None = None,
        lapsed: bool = False,
    ) -> Held:
        """Give a PROCESSING request back: RETRYING where an attempt is spent, else PENDING."""
        bodies = _bodies(updates)

        def write(db: Database) -> Held:
            now = self.clock.now()
            held = self._held(db, ref, failing=failure is not None)
            moved = transitions.requeued(
                held.request,
                fence=fence,
                now=now,
                due_at=due_at,
                spend=spend,
                updates=updates,
                progress=progress,
                checkpoint=_checkpoint(checkpoint),
                failure=failure,
                lapsed=lapsed,
            )
            self._keep(db, held, moved, bodies, queue=queues.join(db, moved.request, now))
            _keep_checkpoint(db, held, checkpoint)
            changes.due(db, moved.request)
            slots.let_go(db, moved.request.slots, now)
            return Held.of(moved.request)

        return self._write(write)

    def cancel(self, ref: str, terminal: NewUpdate, *, expires_at: int) -> Request | None:
        """Cancel: a waiting request ends at once, a running one is flagged, an ended one stays."""
        bodies = _bodies([terminal])

        def write(db: Database) -> Record | None:
            now = self.clock.now()
            found = records.find(db, ref)
            if found is None or transitions.expired(found.request, now):
                return None
            if found.request.status.waiting:
                moved = transitions.cancelled(
                    found.request, terminal, now=now, expires_at=expires_at
                )
                self._keep(db, found, moved, bodies, queue=None)
                slots.leave(db, found.n, found.queue, found.request.slots, now)
                _settle(db, moved.request, now, by_others=True)
            elif found.request.status is Status.PROCESSING:
                records.save(db, found, transitions.flagged(found.request, now=now))
            return records.find(db, ref, full=True)

        after = self._write(write)
        return after.request if after else None

    def _held(self, db: Database, ref: str, *, failing: bool = False) -> Record:
        """Read the record of a held request; its failures too, where one more is to join them."""
        found = records.find(db, ref)
        if found is None or transitions.expired(found.request, self.clock.now()):
            raise LostLease(f"no request {ref}")
        if not failing:
            return found
        return found.moved(replace(found.request, failures=records.failures_of(db, found.n)))

    def _keep(
        self, db: Database, before: Record, moved: Moved, bodies: Sequence[str], **columns: Any
    ) -> None:
        """Store the next state of a request with its new updates."""
        if moved.updates:
            columns["stored_at"] = self.clock.now()
            _put_updates(db, before.n, moved, bodies)
        if moved.request.failures != before.request.failures:
            records.put_failures(db, before.n, moved.request.failures)
        records.save(db, before, moved.request, **columns)


def _finished(request: Request, ending: Ending, now: int) -> Moved:
    return transitions.finished(
        request,
        ending.status,
        ending.updates,
        fence=ending.fence,
        now=now,
        expires_at=ending.expires_at,
        progress=ending.progress,
        failure=ending.failure,
        lapsed=ending.lapsed,
    )


def _put_updates(db: Database, n: int, moved: Moved, bodies: Sequence[str]) -> None:
    db.executemany(
        "INSERT INTO updates (n, seq, kind, attempt, at, body) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (n, update.seq, update.kind.value, update.attempt, update.at, body)
            for update, body in zip(moved.updates, bodies, strict=True)
        ],
    )


def _settle(db: Database, request: Request, now: int, *, by_others: bool) -> None:
    levels.settle(db, transitions.settlement(request), now)
    if by_others:
        changes.ended(db, request)


def _bodies(updates: Sequence[NewUpdate]) -> list[str]:
    """Encode before the writer's turn has come."""
    return [dumps(update.body) for update in updates]


def _checkpoint(given: Any) -> Checkpoint | None:
    return None if given is Store.unchanged else Checkpoint(given)


def _keep_checkpoint(db: Database, held: Record, given: Any) -> None:
    if given is not Store.unchanged:
        records.put_checkpoint(db, held.n, given)
