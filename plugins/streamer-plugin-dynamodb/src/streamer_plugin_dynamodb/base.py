"""What every family of verbs stands on: the tables, and one conditional write for each move."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from pynamodb.expressions.update import Action

from streamer_core.errors import LostLease, StoreError
from streamer_core.model.request import Request, Status
from streamer_core.model.transitions import Moved, expired
from streamer_core.ports import ChangeKind, Store
from streamer_core.ports.clock import Clock
from streamer_core.records import record
from streamer_plugin_dynamodb.database import (
    Database,
    Pauses,
    Unmet,
    Write,
    attribute,
    put,
    value,
)
from streamer_plugin_dynamodb.items import Plain, check_size, chunks
from streamer_plugin_dynamodb.records import (
    Stored,
    apart_keys,
    failures_of,
    outcome_of,
    pack,
    row,
    stored_of,
)
from streamer_plugin_dynamodb.tables import Requests, Updates

_MOST_HELD = 4096
_FRESH_TRIES = 5
_PAGE = 100


@record
class Step:
    """One move of a request.

    Args:
        moved: what it becomes, and its new updates.
        change: what the write tells the feed, if anything.
        texts: `checkpoint`, where it is a new one.
        also: writes that happen with it or not at all.
        changes: fields of `Stored` that change besides.
    """

    moved: Moved
    change: ChangeKind | None = None
    texts: Mapping[str, str | None] = field(default_factory=dict)
    also: Sequence[Write] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)


class HeldRequests:
    """The requests that this process holds, as it wrote them last.

    Nobody else writes them as a rule, so that their holder need not read them before each write; if
    somebody has, the write is refused, and shows what is there.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held: OrderedDict[str, Stored] = OrderedDict()

    def get(self, ref: str) -> Stored | None:
        """Give a request as it was written last, or None."""
        return self._held.get(ref)

    def take(self, stored: Stored) -> None:
        """Remember a request that was claimed here."""
        with self._mutex:
            self._held[stored.request.ref] = stored
            if len(self._held) > _MOST_HELD:
                self._held.popitem(last=False)

    def note(self, stored: Stored) -> None:
        """Note what was written of a request, which need not be held here, while it is held."""
        ref = stored.request.ref
        with self._mutex:
            kept = self._held.pop(ref, None)
            if kept is None or stored.request.status is not Status.PROCESSING:
                return
            if kept.life == stored.life and kept.revision > stored.revision:
                stored = kept  # of two threads, the one that wrote first comes here last
            self._held[ref] = stored

    def forget(self, ref: str) -> None:
        """Forget a request that is not held here any more."""
        with self._mutex:
            self._held.pop(ref, None)


class Base(Store):
    """An open store.

    Args:
        database: its tables.
        clock: gives `now`.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(clock)
        self._db = database
        self._held = HeldRequests()

    def _read(self, ref: str) -> Stored | None:
        """Read a request as it is now; an expired one too."""
        for _ in range(_FRESH_TRIES):
            item = self._db.get(Requests, {"ref": ref})
            if item is None:
                return None
            if (stored := self._whole(item)) is not None:
                return stored
        raise StoreError(f"request {ref} changed faster than it could be read")

    def _whole(self, item: Plain) -> Stored | None:
        """Read a request's item with its long texts; None where one of them was replaced since."""
        keys = apart_keys(item)
        parts = self._db.get_all(Updates, keys) if keys else []
        texts = {-part["n"]: part["text"] for part in parts}
        return stored_of(item, texts) if len(texts) == len(keys) else None

    def _alive(self, ref: str) -> Stored | None:
        stored = self._read(ref)
        return None if stored is None or expired(stored.request, self.clock.now()) else stored

    def _found(self, items: Iterable[Plain]) -> Iterator[Request]:
        """Read the requests that an index has found, in its order, each page once.

        An index is late: what is gone or has expired is left out, and one that it shows twice,
        since it moves from one place to another, comes once.
        """
        for some in chunks(items, _PAGE):
            refs = dict.fromkeys(str(one["ref"]) for one in some)
            kept = {
                item["ref"]: item
                for item in self._db.get_all(Requests, [{"ref": ref} for ref in refs])
            }
            for ref in filter(kept.__contains__, refs):
                stored = self._whole(kept[ref]) or self._read(ref)
                if stored is not None and not expired(stored.request, self.clock.now()):
                    yield stored.request

    def _move(self, ref: str, step: Callable[[Stored], Step], *, held: bool = False) -> Stored:
        """Move a request by a write that is refused where somebody else has moved it meanwhile.

        Args:
            ref: which one.
            step: makes the move, of the record as it is; called again where that has changed, or
                what is written with it.
            held: it is probably held here, and need not be read first.

        Raises:
            LostLease: there is no such request.
            StoreError: what `step` raises, or the database.
        """
        stored = self._held.get(ref) if held else None
        fresh = stored is None
        pauses = Pauses(self._db.patience_s)
        while True:
            stored = self._alive(ref) if stored is None else stored
            if stored is None or expired(stored.request, self.clock.now()):
                raise LostLease(f"no request {ref}")
            try:
                move = step(stored)
            except StoreError:
                if fresh:
                    self._held.forget(ref)
                    raise
                stored, fresh = None, True
                continue
            try:
                return self._try(stored, move)
            except Unmet as unmet:
                pauses.take(f"request {ref} was moved by others until patience was over")
                if 0 in unmet.found:
                    found = unmet.found[0]
                    stored, fresh = self._whole(found) if found else None, True

    def _try(self, stored: Stored, step: Step) -> Stored:
        after, items = self._after(stored, step)
        changes = changed(row(stored), row(after), step.change)
        writes = [
            Write(
                kind="Update",
                table=Requests,
                key={"ref": after.request.ref},
                actions=changes,
                condition=(attribute("revision") == value(stored.revision))
                & (attribute("life") == value(stored.life)),
            ),
            *step.also,
            *(Write(kind="Put", table=Updates, key=item) for item in items),
            *(Write(kind="Delete", table=Updates, key=key) for key in stored.left_behind(after)),
        ]
        self._db.write(*writes)
        self._held.note(after)
        return after

    def _after(self, stored: Stored, step: Step) -> tuple[Stored, list[Plain]]:
        """Give the request after a step, and the items to put with it."""
        request, updates = step.moved.request, list(step.moved.updates)
        texts = dict(step.texts)
        if request.status.terminal and updates:
            texts["outcome"] = outcome_of(updates.pop())
        if request.failures is not stored.request.failures:
            texts["failures"] = failures_of(request.failures)
        after = replace(stored, revision=stored.revision + 1, request=request, **step.changes)
        if step.moved.updates:
            after = replace(after, stored_at=self.clock.now())
        items: list[Plain] = list(pack(after, updates))
        for name, text in texts.items():
            after, put_apart = after.with_text(name, text)
            items += put_apart
        check_size(row(after), f"the record of request {request.ref}")
        return after, items


def changed(before: Plain, after: Plain, change: ChangeKind | None) -> list[Action]:
    """Give the changes that make one row the other, and tell the feed of it, or of nothing."""
    told = [put("change", change.value)] if change else [attribute("change").remove()]
    names = [name for name in after if before.get(name) != after[name]]
    return told + [
        attribute(name).remove() if after[name] is None else put(name, after[name])
        for name in names
    ]
