"""Claiming requests: one by its key, or whoever is next."""

import heapq
from collections.abc import Sequence
from enum import Enum

from streamer_core.model import transitions
from streamer_core.model.message import Priority
from streamer_core.model.request import Request
from streamer_core.model.transitions import Moved
from streamer_plugin_dynamodb.base import Step
from streamer_plugin_dynamodb.database import Pauses, Unmet, attribute, value
from streamer_plugin_dynamodb.items import Plain
from streamer_plugin_dynamodb.queues import Queue, TurnVerbs
from streamer_plugin_dynamodb.records import queue_of
from streamer_plugin_dynamodb.slots import slots_of, taken
from streamer_plugin_dynamodb.tables import State

_QUEUES_LOOKED_AT = 20
_HEADS_TRIED = 5
_TURNS_A_PAGE = 10


class Missed(Enum):
    """Why a request could not be claimed."""

    NOT_WAITING = "somebody else has it, or it is not due"
    SET_ASIDE = "a slot of it is full"


class ClaimVerbs(TurnVerbs):
    """The store's verbs that claim."""

    def claim(self, ref: str, *, worker: str, lease_until: int) -> Request | None:
        """Take one due request; None where it is not due, not waiting, or a slot of it is full."""
        claimed = self._claim(ref, worker=worker, lease_until=lease_until)
        return claimed if isinstance(claimed, Request) else None

    def claim_next(
        self, lanes: Sequence[Priority], *, worker: str, lease_until: int, at_most: int = 1
    ) -> Sequence[Request]:
        """Take the next due requests: by lane in the order given, then fair by tenant."""
        taken: list[Request] = []
        while len(taken) < at_most:
            request = self._claim_first(lanes, worker=worker, lease_until=lease_until)
            if request is None:
                break
            taken.append(request)
        return taken

    def _claim_first(
        self, lanes: Sequence[Priority], *, worker: str, lease_until: int
    ) -> Request | None:
        for lane in lanes:
            self._rouse(lane)
            turns = self._db.walk(
                State,
                attribute("of") == value(f"turns/{lane}"),
                index="by_rank",
                consistent=True,
                limit=_TURNS_A_PAGE,
            )
            for turn in turns:
                request = self._serve(lane, turn, worker=worker, lease_until=lease_until)
                if request is not None:
                    return request
        return None

    def _serve(self, lane: str, turn: Plain, *, worker: str, lease_until: int) -> Request | None:
        """Claim what of a tenant is due first; None where nothing is to be had now."""
        now = self.clock.now()
        items = self._open_queues(lane, turn["id"], _QUEUES_LOOKED_AT)
        # By the time before which nothing of it is due, which may be long before anything is.
        ranked = [(item["rank"], place) for place, item in enumerate(items) if item["rank"] <= now]
        heapq.heapify(ranked)
        while ranked:
            rank, place = heapq.heappop(ranked)
            queue = Queue(lane, turn["id"], items[place]["id"])
            heads = self._heads(queue, limit=_HEADS_TRIED, by=now)
            if not heads:
                self._found_empty(queue)
                continue
            first = heads[0]["due_at"]
            if first > rank and ranked and ranked[0][0] < first:
                heapq.heappush(ranked, (first, place))
                continue
            for head in heads:
                claimed = self._claim(head["ref"], worker=worker, lease_until=lease_until)
                if isinstance(claimed, Request):
                    return claimed
                if claimed is Missed.SET_ASIDE:
                    break
        self._doze(lane, turn)
        return None

    def _claim(self, ref: str, *, worker: str, lease_until: int) -> Request | Missed:
        pauses = Pauses(self._db.patience_s)
        while True:
            stored, now = self._alive(ref), self.clock.now()
            if stored is None or not transitions.claimable(stored.request, now):
                return Missed.NOT_WAITING
            request = transitions.claimed(
                stored.request, worker=worker, lease_until=lease_until, now=now
            )
            step = Step(moved=Moved(request=request), also=taken(request, limited=True))
            try:
                self._held.take(self._try(stored, step))
            except Unmet as unmet:
                if 0 not in unmet.found:
                    full = slots_of(request)[min(unmet.found) - 1]
                    if self._set_aside(Queue.named(queue_of(request)), full):
                        return Missed.SET_ASIDE
                pauses.take(f"request {ref} was moved by others until patience was over")
            else:
                self._afterwards(self._stamp, request)
                return request
