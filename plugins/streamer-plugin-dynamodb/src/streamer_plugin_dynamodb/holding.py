"""Holding a request: heartbeats, updates, and its end."""

from collections.abc import Sequence
from typing import Any

from streamer_core.errors import Conflict, LostLease
from streamer_core.model import transitions
from streamer_core.model.codec import dumps
from streamer_core.model.request import Failure, Request, Snapshot, Status
from streamer_core.model.transitions import Checkpoint, Moved
from streamer_core.model.update import NewUpdate
from streamer_core.ports import ChangeKind, Held, Store
from streamer_plugin_dynamodb.base import Step
from streamer_plugin_dynamodb.database import Write
from streamer_plugin_dynamodb.levels import read_levels
from streamer_plugin_dynamodb.queues import TurnVerbs
from streamer_plugin_dynamodb.records import Stored
from streamer_plugin_dynamodb.slots import let_go


class HoldingVerbs(TurnVerbs):
    """The store's verbs for whoever holds a request, and the one that cancels it."""

    def heartbeat(
        self, ref: str, *, fence: int, lease_until: int, progress: Snapshot | None = None
    ) -> Held:
        """Extend the lease, and keep the newest progress. Raises LostLease."""

        def step(stored: Stored) -> Step:
            return Step(
                moved=Moved(
                    request=transitions.extended(
                        stored.request, fence=fence, lease_until=lease_until, progress=progress
                    )
                )
            )

        return Held.of(self._move(ref, step, held=True).request)

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
        kept, texts = _checkpoint(checkpoint)

        def step(stored: Stored) -> Step:
            moved = transitions.appended(
                stored.request, updates, fence=fence, progress=progress, checkpoint=kept
            )
            return Step(moved=moved, texts=texts)

        return Held.of(self._move(ref, step, held=True).request)

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
        """End a PROCESSING request."""

        def step(stored: Stored) -> Step:
            moved = transitions.finished(
                stored.request,
                status,
                updates,
                fence=fence,
                now=self.clock.now(),
                expires_at=expires_at,
                progress=progress,
                failure=failure,
                lapsed=lapsed,
            )
            return Step(
                moved=moved,
                change=ChangeKind.ENDED if lapsed else None,
                also=[*self._settled(moved.request), *let_go(moved.request)],
            )

        ended = self._move(ref, step, held=True).request
        self._afterwards(self._wake_for, ended)
        return Held.of(ended)

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
        kept, texts = _checkpoint(checkpoint)

        def step(stored: Stored) -> Step:
            moved = transitions.requeued(
                stored.request,
                fence=fence,
                now=self.clock.now(),
                due_at=due_at,
                spend=spend,
                updates=updates,
                progress=progress,
                checkpoint=kept,
                failure=failure,
                lapsed=lapsed,
            )
            return Step(moved=moved, change=ChangeKind.DUE, texts=texts, also=let_go(moved.request))

        waiting = self._move(ref, step, held=True).request
        self._afterwards(self._note_waiting, waiting)
        self._afterwards(self._wake_for, waiting)
        return Held.of(waiting)

    def cancel(self, ref: str, terminal: NewUpdate, *, expires_at: int) -> Request | None:
        """Cancel: a waiting request ends at once, a running one is flagged, an ended one stays."""

        def step(stored: Stored) -> Step:
            now, request = self.clock.now(), stored.request
            if request.status is Status.PROCESSING:
                return Step(moved=Moved(request=transitions.flagged(request, now=now)))
            moved = transitions.cancelled(request, terminal, now=now, expires_at=expires_at)
            return Step(moved=moved, change=ChangeKind.ENDED, also=self._settled(moved.request))

        try:
            return self._move(ref, step).request
        except LostLease:
            return None
        except Conflict:
            return self.get(ref)

    def _settled(self, request: Request) -> list[Write]:
        """Give the writes that settle a request that has ended."""
        if not request.settle:
            return []
        counts = transitions.settlement(request)
        levels = read_levels(self._db, counts, self.clock.now())
        return levels.writes(counts, levels.settled(counts))


def _checkpoint(given: Any) -> tuple[Checkpoint | None, dict[str, str | None]]:
    """Give a checkpoint, and its text, where one is given."""
    if given is Store.unchanged:
        return None, {}
    return Checkpoint(given), {"checkpoint": None if given is None else dumps(given)}
