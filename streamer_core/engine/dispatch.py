"""The change feed's records: wake whoever has to do something about one, park what is none."""

from collections.abc import Mapping
from typing import Any

from streamer_core.engine import about, deliver
from streamer_core.engine.runtime import Runtime
from streamer_core.ports import Change, ChangeKind


def wake(rt: Runtime, change: Change) -> None:
    """Dispatch what is due, schedule what will be, send the end of what somebody else ended.

    A record may come twice or late: the claim decides who runs a request.
    """
    with about.ref(change.ref):
        if change.kind is ChangeKind.ENDED:
            deliver.send_unsent(rt, change.ref)
        else:
            _tell_of(rt, change)


def _tell_of(rt: Runtime, change: Change) -> None:
    due = change.due_at <= rt.clock.now()
    try:
        (rt.hook.streamer_dispatch if due else rt.hook.streamer_schedule)(change=change)
    except Exception:
        # The sweeper finds the request again, and must go on with the others now.
        rt.log.exception("nobody could be woken", ref=change.ref, due_at=change.due_at)


def park(rt: Runtime, record: Mapping[str, Any], error: str) -> bool:
    """Have somebody keep a record that cannot be read; False where nobody did."""
    try:
        return bool(rt.hook.streamer_park(record=record, error=error))
    except Exception:
        rt.log.exception("a record cannot be parked")
        return False
