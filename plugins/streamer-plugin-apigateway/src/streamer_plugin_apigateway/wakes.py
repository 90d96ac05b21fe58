"""What a worker function is woken with."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from streamer_core.model.message import Priority
from streamer_core.ports import Change, ChangeKind


def encoded(change: Change) -> str:
    """Give what a worker is woken with."""
    return json.dumps({"ref": change.ref, "lane": change.lane, "due_at": change.due_at})


def decoded(plain: Mapping[str, Any]) -> Change:
    """Read what a worker is woken with.

    Raises:
        KeyError, TypeError, ValueError: it is something else.
    """
    return Change(
        kind=ChangeKind.DUE,
        ref=str(plain["ref"]),
        lane=Priority(plain["lane"]),
        due_at=int(plain["due_at"]),
    )


def woken_for(event: Mapping[str, Any]) -> Iterator[Change]:
    """Read the event of a worker function: one that was invoked, or messages of the queue.

    Raises:
        KeyError, TypeError, ValueError: it is something else.
    """
    if "Records" not in event:
        yield decoded(event)
        return
    for record in event["Records"]:
        yield decoded(json.loads(record["body"]))
