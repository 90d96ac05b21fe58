"""Whose turn it is: queues of waiting requests, and the turns of the tenants in each lane.

```
turns/<lane>             a tenant that may have something due;  rank: its last claim
asleep/<lane>            a tenant that will have;               rank: not before then
queues/<lane>/<tenant>   its waiting requests of equal slots;   rank: none is due before
```
Rank is what an item is sorted by, and whoever has none is not looked at: a queue that was set aside
for a full slot, and one that is empty. So what a claim costs does not grow with what waits.

A rank may be too low, never too high: it is lowered before a request's enqueue returns, and raised
only on the condition that nobody has enqueued since. The index of waiting requests lags behind a
little; a queue is not believed to be empty while its last request may not be in there yet.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pynamodb.expressions.update import Action

from streamer_core.errors import ItemTooLarge, StoreError
from streamer_core.log import get_logger
from streamer_core.model.message import Priority
from streamer_core.model.policy import Slot
from streamer_core.model.request import Request
from streamer_core.ports import ChangeKind
from streamer_plugin_dynamodb.base import Base
from streamer_plugin_dynamodb.database import (
    Pauses,
    Unmet,
    Write,
    absent,
    add,
    attribute,
    present,
    put,
    value,
)
from streamer_plugin_dynamodb.items import Plain
from streamer_plugin_dynamodb.records import queue_of
from streamer_plugin_dynamodb.slots import slot_key, slots_of
from streamer_plugin_dynamodb.state import change
from streamer_plugin_dynamodb.tables import Requests, State

INDEX_LAG_MS = 5_000
"""How long a queue is not believed to be empty after a request joined it. DynamoDB's indexes follow
"within a fraction of a second" under usual conditions; its documentation promises no bound."""

_IDLE_TURN_S = 7 * 86_400  # how long it is remembered when a tenant was served
_MOST_REOPENED = 25
_MOST_COMPARED = 100
_LANES = [lane.value for lane in Priority]
_random = random.SystemRandom()


class Queue(NamedTuple):
    """Where requests of one lane and tenant that need the same slots wait."""

    lane: str
    tenant: str
    slots: str

    @classmethod
    def named(cls, name: str) -> "Queue":
        """Give the queue that a request's attribute names."""
        return cls(*name.split("/", 2))

    @property
    def name(self) -> str:
        """Give what a request's attribute names it by."""
        return "/".join(self)

    @property
    def item(self) -> Plain:
        """Give the key of its own item."""
        return {"of": f"queues/{self.lane}/{self.tenant}", "id": self.slots}

    @property
    def turn(self) -> Plain:
        """Give the key of its tenant's turn."""
        return {"of": f"turns/{self.lane}", "id": self.tenant}

    @property
    def sleeper(self) -> Plain:
        """Give the key under which its tenant sleeps."""
        return {"of": f"asleep/{self.lane}", "id": self.tenant}


class QueueVerbs(Base):
    """How requests join queues, and queues are set aside and opened again."""

    def _afterwards(self, tell: Callable[[Request], None], request: Request) -> None:
        """Tell others of a write that is done, and stays done where that fails.

        The sweeper finds who waits and was not told of: see `SweepingVerbs.due`.
        """
        try:
            tell(request)
        except StoreError:
            get_logger().warning("queues could not be told", ref=request.ref, exc_info=True)

    def _note_waiting(self, request: Request) -> None:
        """Note that a request waits, after it was written."""
        self._join(Queue.named(queue_of(request)), request.due_at)

    def _join(self, queue: Queue, due_at: int) -> None:
        """Have a queue looked at from this time on, if not before."""
        pauses = Pauses(self._db.patience_s)
        joined = [add("revision", 1), put("noted", wall_ms())]
        while True:
            try:
                self._db.write(change(queue.item, *joined, when=attribute("rank") <= value(due_at)))
            except Unmet as unmet:
                if "blocked" in (unmet.found[0] or {}):
                    return  # opened again, it is looked at from its beginning
                if self._open(queue, due_at, joined):
                    return
                pauses.take("a queue was opened and set aside until patience was over")
            else:
                return

    def _open(self, queue: Queue, due_at: int, joined: Sequence[Action]) -> bool:
        """Have a queue looked at from this time on; False where it changed meanwhile."""
        opened = change(
            queue.item,
            *joined,
            put("rank", due_at),
            attribute("ttl").remove(),
            when=absent("blocked") & (absent("rank") | (attribute("rank") > value(due_at))),
        )
        asleep = change(
            queue.sleeper,
            put("rank", due_at),
            when=absent("rank") | (attribute("rank") > value(due_at)),
        )
        if due_at <= self.clock.now():
            return self._written(opened, awake(queue))
        touched = change(queue.turn, add("revision", 1))
        wakes_before = Write(
            kind="ConditionCheck",
            table=State,
            key=queue.sleeper,
            condition=attribute("rank") <= value(due_at),
        )
        return self._written(opened, touched, asleep) or self._written(
            opened, touched, wakes_before
        )

    def _set_aside(self, queue: Queue, slot: Slot) -> bool:
        """Set a queue aside until a slot is let go; False where the slot has room again."""
        full = change(
            slot_key(slot.key),
            add("aside", frozenset({queue.name})),
            when=attribute("running") >= value(slot.at_most),
        )
        blocked = change(
            queue.item,
            attribute("rank").remove(),
            put("blocked", slot.key),
            put("full_at", slot.at_most),
            add("revision", 1),
        )
        try:
            return self._written(full, blocked)
        except ItemTooLarge:
            return True  # more queues than an item can name: this one stays open, and in the way

    def _wake_for(self, request: Request) -> None:
        """Open the queues that were set aside for slots that a request has let go."""
        for slot in slots_of(request):
            item = self._db.get(State, slot_key(slot.key)) or {}
            for queue in self._next(sorted(map(Queue.named, item.get("aside", ())))):
                self._reopen(queue, slot.key)

    def _next(self, queues: list[Queue]) -> Sequence[Queue]:
        """Give as many as are opened at once: by lane, then whose tenants were served longest ago.

        Of very many only some are compared, others each time.
        """
        if len(queues) <= _MOST_REOPENED:
            return queues
        _random.shuffle(queues)
        queues.sort(key=_lane)
        del queues[_MOST_COMPARED:]
        turns = {(queue.lane, queue.tenant): queue.turn for queue in queues}
        kept = self._db.get_all(State, list(turns.values()))
        served = {(turn["of"], turn["id"]): turn.get("served", 0) for turn in kept}

        def place(queue: Queue) -> tuple[int, int]:
            turn = queue.turn
            return _lane(queue), served.get((turn["of"], turn["id"]), 0)

        return sorted(queues, key=place)[:_MOST_REOPENED]

    def _reopen(self, queue: Queue, slot: str) -> None:
        left = change(slot_key(slot), attribute("aside").delete(value(frozenset({queue.name}))))
        opened = change(
            queue.item,
            put("rank", 0),
            attribute("blocked").remove(),
            add("revision", 1),
            when=attribute("blocked") == value(slot),
        )
        if self._written(opened, awake(queue), left):
            self._feed_head(queue)
        else:
            elsewhere = Write(
                kind="ConditionCheck",
                table=State,
                key=queue.item,
                condition=absent("blocked") | (attribute("blocked") != value(slot)),
            )
            self._written(elsewhere, left)

    def _feed_head(self, queue: Queue) -> None:
        """Tell the feed of the request that is first in a queue."""
        for head in self._heads(queue, limit=1):
            self._written(
                Write(
                    kind="Update",
                    table=Requests,
                    key={"ref": head["ref"]},
                    # A write that changes nothing is not in the stream.
                    actions=[put("change", ChangeKind.DUE.value), add("fed", 1)],
                    condition=present("queue"),
                )
            )

    def _heads(self, queue: Queue, *, limit: int, by: int | None = None) -> Sequence[Plain]:
        """Give the first of a queue, by due time; with `by`, those due by then."""
        condition = attribute("queue") == value(queue.name)
        if by is not None:
            condition &= attribute("due_at") <= value(by)
        return self._db.query(Requests, condition, index="waiting", limit=limit).items

    def _written(self, *writes: Write) -> bool:
        """Make writes; False where a condition did not hold."""
        try:
            self._db.write(*writes)
        except Unmet:
            return False
        return True


class TurnVerbs(QueueVerbs):
    """How the tenants' turns move on."""

    _last_stamp = 0

    def _stamp(self, request: Request) -> None:
        """Note that a tenant was served: it comes last now."""
        self._last_stamp = stamp = max(self._last_stamp + 1, time.time_ns())
        self._db.write(
            change(
                Queue.named(queue_of(request)).turn,
                put("served", stamp),
                put("rank", stamp),
                add("revision", 1),
                attribute("ttl").remove(),
            )
        )

    def _rouse(self, lane: str) -> None:
        """Give those their turns whose time to sleep is over."""
        due = (attribute("of") == value(f"asleep/{lane}")) & (
            attribute("rank") <= value(self.clock.now())
        )
        for sleeper in self._db.query(State, due, index="by_rank", consistent=True).items:
            gone = Write(
                kind="Delete",
                table=State,
                key={"of": sleeper["of"], "id": sleeper["id"]},
                condition=attribute("rank") == value(sleeper["rank"]),
            )
            self._written(awake(Queue(lane, sleeper["id"], "")), gone)

    def _open_queues(self, lane: str, tenant: str, limit: int) -> Sequence[Plain]:
        """Give a tenant's queues that are not set aside, those due first first."""
        return self._db.query(
            State,
            attribute("of") == value(f"queues/{lane}/{tenant}"),
            index="by_rank",
            limit=limit,
            consistent=True,
        ).items

    def _found_empty(self, queue: Queue) -> None:
        """Look at a queue later, or no more, of which nothing is due."""
        seen = self._db.get(State, queue.item) or {}
        if wall_ms() - seen.get("noted", 0) < INDEX_LAG_MS:
            return
        later = next(iter(self._heads(queue, limit=1)), None)
        if later is not None and later["due_at"] <= self.clock.now():
            return
        rank = put("rank", later["due_at"]) if later else attribute("rank").remove()
        forget = [] if later else [put("ttl", self._ttl())]
        self._written(
            change(
                queue.item,
                rank,
                *forget,
                add("revision", 1),
                when=attribute("revision") == value(seen.get("revision", 0)),
            )
        )

    def _doze(self, lane: str, turn: Plain) -> None:
        """End the turn of a tenant of which nothing is due, until something is."""
        seen = self._db.get(State, {"of": turn["of"], "id": turn["id"]}) or {}
        first = next(iter(self._open_queues(lane, turn["id"], 1)), None)
        if first is not None and first["rank"] <= self.clock.now():
            return
        queue = Queue(lane, turn["id"], "")
        writes = [
            change(
                queue.turn,
                attribute("rank").remove(),
                put("ttl", self._ttl()),
                add("revision", 1),
                when=attribute("revision") == value(seen.get("revision", 0)),
            )
        ]
        if first is not None:
            writes.append(change(queue.sleeper, put("rank", first["rank"])))
        self._written(*writes)

    def _ttl(self) -> int:
        return self.clock.now() // 1000 + _IDLE_TURN_S


def _lane(queue: Queue) -> int:
    return _LANES.index(queue.lane)


def awake(queue: Queue) -> Write:
    """Give the write that gives a tenant its turn, in the place that its last claim left it."""
    return change(
        queue.turn,
        attribute("rank").set(attribute("served") | value(0)),
        add("revision", 1),
        attribute("ttl").remove(),
    )


def wall_ms() -> int:
    """Give the machine's own time, which the lag of an index is measured by."""
    return time.time_ns() // 1_000_000
