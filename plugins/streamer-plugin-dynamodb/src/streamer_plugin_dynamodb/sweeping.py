"""Updates, and what the sweeper looks for."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from heapq import merge
from itertools import islice

from pynamodb.expressions.condition import Condition

from streamer_core.errors import LostLease
from streamer_core.model import transitions
from streamer_core.model.message import Priority
from streamer_core.model.request import Request, Status
from streamer_core.model.transitions import Moved
from streamer_core.model.update import Update
from streamer_core.ports import Change, ChangeKind
from streamer_plugin_dynamodb.base import Step
from streamer_plugin_dynamodb.database import Write, attribute, put, value
from streamer_plugin_dynamodb.items import Plain, chunks
from streamer_plugin_dynamodb.levels import ttl_of
from streamer_plugin_dynamodb.queues import Queue, TurnVerbs
from streamer_plugin_dynamodb.records import Stored, shards, terminal_of, unpack
from streamer_plugin_dynamodb.slots import slot_key
from streamer_plugin_dynamodb.tables import Requests, State, Updates

_PAGE = 100


class SweepingVerbs(TurnVerbs):
    """The store's verbs on updates, and those of the sweeper."""

    def updates(self, ref: str, *, after: int = 0, limit: int = 200) -> Sequence[Update]:
        """Give the updates with a greater `seq`, in order."""
        stored = self._alive(ref)
        return list(islice(self._updates(stored, after), limit)) if stored else []

    def _updates(self, stored: Stored, after: int) -> Iterator[Update]:
        mine = attribute("request") == value(stored.updates_key)
        mine &= attribute("n") > value(after)
        for item in self._db.walk(Updates, mine, consistent=True):
            yield from (update for update in unpack(item) if update.seq > after)
        if stored.request.status.terminal and stored.request.last_seq > after:
            yield self._terminal(stored)

    def _terminal(self, stored: Stored) -> Update:
        text = stored.texts["outcome"]
        if isinstance(text, int):
            item = self._db.get(Updates, {"request": stored.updates_key, "n": -text})
            text = item["text"] if item else ""
        return terminal_of(stored, text)

    def mark_sent(self, ref: str, seq: int) -> None:
        """Note that all updates up to `seq` were handed to the transport.

        Once all of an ended request was sent, DynamoDB may delete it when its time has come, and
        its updates with it. Until then the sweeper finds it again, whatever was cut short here.
        """

        def step(stored: Stored) -> Step:
            request = transitions.sent(stored.request, seq)
            done = request.status.terminal and request.sent_seq == request.last_seq
            if done and stored.ttl is None:
                self._let_expire(stored)
            ttl = ttl_of(request.expires_at) if done else None
            return Step(moved=Moved(request=request), changes={"ttl": ttl})

        with suppress(LostLease):
            self._move(ref, step, held=True)

    def _let_expire(self, stored: Stored) -> None:
        ttl = ttl_of(stored.request.expires_at)
        mine = attribute("request") == value(stored.updates_key)
        for item in self._db.walk(Updates, mine, consistent=True):
            key = {"request": item["request"], "n": item["n"]}
            self._db.write(Write(kind="Update", table=Updates, key=key, actions=[put("ttl", ttl)]))

    # -- what the sweeper looks for

    def due(self, before: int, limit: int = 100) -> Sequence[Change]:
        """Give waiting requests due before the time, and that no slot sets aside.

        What somebody died over before it could be said is said now: a queue that waits for a slot
        with room is opened again, and one that nobody looks at is looked at.
        """
        return list(islice(self._due(before), limit))

    def _due(self, before: int) -> Iterator[Change]:
        found = self._watched("due", attribute("watch_at") < value(before))
        for items in chunks(found, _PAGE):
            first: dict[str, int] = {}
            for item in items:
                first.setdefault(item["queue"], item["watch_at"])
            aside = self._aside(first)
            for item in items:
                queue = Queue.named(item["queue"])
                if queue.name not in aside:
                    yield Change(
                        kind=ChangeKind.DUE,
                        ref=item["ref"],
                        lane=Priority(queue.lane),
                        due_at=item["watch_at"],
                    )

    def _aside(self, first: Mapping[str, int]) -> set[str]:
        """Tell which queues wait for a slot, and open those that need not any more.

        Args:
            first: when the first of each is due.
        """
        queues = {Queue.named(name): due_at for name, due_at in first.items()}
        items = {
            (one["of"], one["id"]): one
            for one in self._db.get_all(State, [queue.item for queue in queues])
        }
        aside: set[str] = set()
        for queue, due_at in queues.items():
            item = items.get((queue.item["of"], queue.item["id"]), {})
            if "blocked" not in item:
                if item.get("rank", due_at + 1) > due_at:
                    self._join(queue, due_at)
                continue
            slot = self._db.get(State, slot_key(item["blocked"])) or {}
            if slot.get("running", 0) >= item["full_at"]:
                aside.add(queue.name)
            else:
                self._reopen(queue, item["blocked"])
        return aside

    def lapsed(self, limit: int = 100) -> Sequence[Request]:
        """Give PROCESSING requests whose lease is over."""
        now = self.clock.now()
        found = self._watched("lease", attribute("watch_at") <= value(now))
        return self._those(found, limit, lambda request: transitions.lease_over(request, now))

    def cancelling(self, before: int, limit: int = 100) -> Sequence[Request]:
        """Give PROCESSING requests asked to stop before the time."""
        found = self._in_shards("stopping", "cancel_requested_at", before)
        return self._those(found, limit, lambda request: request.status is Status.PROCESSING)

    def unsent(self, before: int, limit: int = 100) -> Sequence[Request]:
        """Give requests with `sent_seq < last_seq` whose last update was stored before the time."""
        found = self._in_shards("unsent", "stored_at", before)
        return self._those(found, limit, lambda request: request.sent_seq < request.last_seq)

    def purge(self, limit: int = 1000) -> int:  # noqa: ARG002 - the port's
        """Leave it to DynamoDB, which deletes what has expired by its time to live, for nothing."""
        return 0

    def _watched(self, kind: str, when: Condition) -> Iterator[Plain]:
        walks = [
            self._db.walk(
                Requests,
                (attribute("watch") == value(f"{kind}/{shard}")) & when,
                index="watch",
                limit=_PAGE,
            )
            for shard in shards()
        ]
        return merge(*walks, key=lambda item: int(item["watch_at"]))

    def _in_shards(self, index: str, sorted_by: str, before: int) -> Iterator[Plain]:
        walks = [
            self._db.walk(
                Requests,
                (attribute(index) == value(shard)) & (attribute(sorted_by) < value(before)),
                index=index,
                limit=_PAGE,
            )
            for shard in shards()
        ]
        return merge(*walks, key=lambda item: int(item[sorted_by]))

    def _those(
        self, found: Iterator[Plain], limit: int, holds: Callable[[Request], bool]
    ) -> Sequence[Request]:
        """Read what an index has found; it is late, so what has changed is left out."""
        return list(islice(filter(holds, self._found(found)), limit))
