"""What an operator does about a dead letter."""

from contextlib import suppress
from typing import Any

from streamer_core.errors import Conflict, NotFound
from streamer_core.model.codec import request_from_plain
from streamer_core.model.request import Request
from streamer_core.ports import Change, ChangeKind
from streamer_plugin_dlq.entry import REDRIVEN, REPLAYED, REQUEST
from streamer_plugin_dlq.letters import Kept, Letters


class Pace:
    """Spreads what begins: never more than `rate` in a second, and no fewer while there are some.

    Args:
        rate: how many in a second.
    """

    def __init__(self, rate: float) -> None:
        self._step_ms = 1000 / rate
        self._next: float = 0

    def delay_ms(self, now: int) -> int:
        """Give how long the next one waits, counted from now (Unix ms)."""
        due = max(self._next, now)
        self._next = due + self._step_ms
        return round(due - now)


def redrive(app: Any, letters: Letters, kept: Kept, *, delay_ms: int = 0) -> Request:
    """Start the failed request again, as a new one; done twice, it is started once.

    Raises:
        Conflict: it is no request; or it cannot be started, and the text says why.
    """
    entry = kept.entry
    if entry.source != REQUEST:
        raise Conflict(f"{entry.id} is no request: replay or discard it")
    stored = app.store.get(entry.ref)
    if stored is not None and stored.created_at == entry.created_at:
        new: Request = app.redrive(entry.ref, delay_ms=delay_ms)
    elif entry.redacted:
        raise Conflict(
            f"{entry.id} cannot be redriven: its payload was redacted, as [plugins.dlq] says, "
            f"and the request itself is forgotten ([streamer] keep)"
        )
    else:
        new = app.redrive_record(_record(letters, kept), delay_ms=delay_ms)
    if entry.redriven_as != new.ref:
        with suppress(Conflict):  # whoever was faster has redriven it as the same, or discarded it
            letters.mark(kept, REDRIVEN, redriven_as=new.ref)
    return new


def _record(letters: Letters, kept: Kept) -> Request:
    details = letters.details(kept)
    if details is None:
        raise Conflict(f"{kept.entry.id} was discarded just now")
    return request_from_plain(details)


def replay(app: Any, letters: Letters, kept: Kept) -> Request:
    """Wake the request that a record or a message names, as if it had been read; give it.

    It only wakes: one that runs, has ended or is not due stays as it is.

    Raises:
        Conflict: it is a request itself, or names none.
        NotFound: the request it names is forgotten.
    """
    entry = kept.entry
    if entry.source == REQUEST:
        raise Conflict(f"{entry.id} is a request: redrive or discard it")
    if not entry.ref:
        raise Conflict(f"{entry.id} names no request: discard it")
    request: Request | None = app.store.get(entry.ref)
    if request is None:
        raise NotFound(f"the request {entry.ref} is forgotten: discard {entry.id}")
    kind = ChangeKind.ENDED if request.status.terminal else ChangeKind.DUE
    app.wake(Change(kind=kind, ref=request.ref, lane=request.priority, due_at=request.due_at))
    with suppress(Conflict):
        letters.mark(kept, REPLAYED)
    return request
