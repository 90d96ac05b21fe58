"""Where dead letters are kept: small values of the store.

```
dlq/text/<id>/at        of a record: when it was parked first, its time in the list at each try
dlq/text/<id>/<n>       a piece of the details' JSON: a small value holds 64 KB, a letter more
dlq/list/<time>/<id>    the entry, for the list; the time counts down: the newest comes first
dlq/entry/<id>          the entry, to be found by its id
```

The last is written last, and once: from then on the dead letter is kept, and whoever keeps it again
changes nothing. What a crash leaves before that is written over by the next try. Discarded, it
stays as a mark without data, so that a request which is still kept is not taken for one that was
missed. All of it expires together.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from streamer_core.errors import Conflict
from streamer_core.model.codec import dumps, loads
from streamer_core.model.ids import REF
from streamer_core.ports import Clock, Store, Value
from streamer_core.records import record
from streamer_plugin_dlq.entry import DISCARDED, STREAM, Entry, Letter, from_plain, to_plain
from streamer_plugin_dlq.wanted import Wanted

_TEXT, _LIST, _ENTRY = "dlq/text/", "dlq/list/", "dlq/entry/"
_PIECE_CHARS = 32_000  # as a JSON string within JSON it may double
_NEVER_MS = 10**15 - 1
CURSOR = re.compile(r"[0-9]{15}/.+")
_PAGE = 200


@record
class Kept:
    """A dead letter as it is kept.

    Args:
        entry: what the list shows.
        pieces: how many its text has.
        version: of the stored entry, for the next conditional write.
    """

    entry: Entry
    pieces: int
    version: int


class Letters:
    """The dead letters of one store.

    Args:
        store, clock: the application's.
        keep_ms: how long each is kept after its failure.
    """

    def __init__(self, store: Store, clock: Clock, keep_ms: int) -> None:
        self._store = store
        self._clock = clock
        self._keep_ms = keep_ms

    def keep(self, letter: Letter) -> bool:
        """Keep a dead letter; False where it is kept, was dealt with, or is too old."""
        entry = letter.entry
        if self._expires(entry) <= self._clock.now() or self._stored(entry.id) is not None:
            return False
        if entry.source == STREAM:
            entry = replace(entry, at=self._first_at(entry))
        text = dumps(letter.details)
        pieces = [text[at : at + _PIECE_CHARS] for at in range(0, len(text), _PIECE_CHARS)]
        for n, piece in enumerate(pieces):
            self._put(_text_key(entry.id, n), piece, entry)
        self._put(_list_key(entry), to_plain(entry), entry)
        try:
            self._put_entry(entry, len(pieces), version=0)
        except Conflict:
            self._undo(entry, len(pieces))
            return False
        return True

    def find(self, name: str) -> Kept | None:
        """Give a dead letter by its id, or the newest of a request by its ref."""
        if REF.fullmatch(name):
            by_age = self._store.values(f"{_ENTRY}{name}-").values()
            those = [*map(_kept, by_age), self._stored(name)]  # a record's id looks like a ref
        else:
            those = [self._stored(name)]
        found = [kept for kept in those if kept is not None and kept.entry.done != DISCARDED]
        return found[-1] if found else None

    def details(self, kept: Kept) -> Any:
        """Give what else is kept of one; None where it was discarded meanwhile."""
        keys = (_text_key(kept.entry.id, n) for n in range(kept.pieces))
        found = [self._store.get_value(key) for key in keys]
        texts = [piece.data for piece in found if piece is not None]
        return loads("".join(texts)) if len(texts) == kept.pieces else None

    def page(
        self, wanted: Wanted, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Entry], str | None]:
        """List those wanted, newest first; the cursor, if any, asks for the rest."""
        found: list[Entry] = []
        for entry in self.all(wanted, cursor=cursor):
            if len(found) == limit:
                return found, _list_key(found[-1]).removeprefix(_LIST)
            found.append(entry)
        return found, None

    def all(self, wanted: Wanted, *, cursor: str | None = None) -> Iterator[Entry]:
        """List those wanted, newest first, a page of the store at a time."""
        after = None if cursor is None else _LIST + cursor
        if after is None and wanted.until is not None:
            after = _LIST + _countdown(wanted.until)
        while page := self._store.values(_LIST, _PAGE, after=after):
            for key, value in page.items():
                entry = from_plain(value.data)
                if wanted.since is not None and entry.at < wanted.since:
                    return
                if wanted.has(entry):
                    yield entry
                after = key

    def mark(self, kept: Kept, done: str, *, redriven_as: str = "") -> Entry:
        """Note how one was dealt with.

        Raises:
            Conflict: somebody else has just dealt with it.
        """
        entry = replace(kept.entry, done=done, redriven_as=redriven_as)
        self._put_entry(entry, kept.pieces, version=kept.version)
        self._show(entry)
        return entry

    def discard(self, name: str) -> bool:
        """Forget one; False where there is none. What an earlier try has left goes, too."""
        while kept := self.find(name):
            entry = kept.entry
            bare = Entry(id=entry.id, at=entry.at, source=entry.source, done=DISCARDED)
            with suppress(Conflict):  # it was redriven just now, say: look again
                self._put_entry(bare, kept.pieces, version=kept.version)
                self._delete(entry, kept.pieces)
                return True
        left = self._stored(name)
        if left is not None and left.entry.done == DISCARDED:
            self._delete(left.entry, left.pieces)
        return False

    def _first_at(self, entry: Entry) -> int:
        """Give when it was tried first to keep a record, which says nothing of that itself."""
        key = _at_key(entry)
        with suppress(Conflict):
            self._put(key, entry.at, entry, version=0)
        first = self._store.get_value(key)
        return first.data if first else entry.at

    def _undo(self, entry: Entry, pieces: int) -> None:
        """Take back what was written of one that somebody else has kept meanwhile.

        The pieces are the other's too, and the same; unless it has discarded them by now.
        """
        other = self._stored(entry.id)
        if other is None or other.entry.done == DISCARDED:
            self._delete(entry, pieces)
        else:
            self._store.delete_value(_list_key(entry))
            self._show(other.entry)

    def _show(self, entry: Entry) -> None:
        """Put one that is kept into the list as it is now; not if it has just been discarded."""
        self._put(_list_key(entry), to_plain(entry), entry)
        kept = self._stored(entry.id)
        if kept is None or kept.entry.done == DISCARDED:
            self._store.delete_value(_list_key(entry))

    def _delete(self, entry: Entry, pieces: int) -> None:
        for n in range(pieces):
            self._store.delete_value(_text_key(entry.id, n))
        if entry.source == STREAM:
            self._store.delete_value(_at_key(entry))
        # Last: what is listed can be discarded again, should this end in between.
        self._store.delete_value(_list_key(entry))

    def _stored(self, entry_id: str) -> Kept | None:
        value = self._store.get_value(_ENTRY + entry_id)
        return _kept(value) if value else None

    def _put_entry(self, entry: Entry, pieces: int, *, version: int) -> None:
        data = {"entry": to_plain(entry), "pieces": pieces}
        self._put(_ENTRY + entry.id, data, entry, version=version)

    def _put(self, key: str, data: Any, entry: Entry, *, version: int | None = None) -> None:
        self._store.put_value(key, data, expires_at=self._expires(entry), version=version)

    def _expires(self, entry: Entry) -> int:
        return entry.at + self._keep_ms


def _kept(value: Value) -> Kept:
    entry, pieces = from_plain(value.data["entry"]), value.data["pieces"]
    return Kept(entry=entry, pieces=pieces, version=value.version)


def _text_key(entry_id: str, n: int) -> str:
    return f"{_TEXT}{entry_id}/{n:04d}"


def _at_key(entry: Entry) -> str:
    return f"{_TEXT}{entry.id}/at"


def _list_key(entry: Entry) -> str:
    return f"{_LIST}{_countdown(entry.at)}/{entry.id}"


def _countdown(at: int) -> str:
    return f"{_NEVER_MS - at:015d}"
