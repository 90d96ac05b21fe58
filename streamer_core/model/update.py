"""The numbered history of a request: chunks, restarts and the terminal message."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from streamer_core.records import record


class Kind(StrEnum):
    """What an update is; also its `type` on the wire."""

    CHUNK = "chunk"
    RESTART = "restart"
    COMPLETE = "complete"
    ERROR = "error"

    @property
    def terminal(self) -> bool:
        """Whether it ends its request."""
        return self in _ENDS


_ENDS = frozenset({Kind.COMPLETE, Kind.ERROR})


@record
class NewUpdate:
    """An update before the store has numbered it.

    Args:
        kind: what it is.
        attempt: the attempt that made it.
        body: the rest of its wire message: `{"data": …}`, `{"keep_through_seq": n}`,
            `{"result": …}` or `{"error": {…}}`.
        size: how many bytes the body has, encoded.
        at: Unix ms.
    """

    kind: Kind
    attempt: int
    body: Mapping[str, Any]
    size: int
    at: int = 0


@record
class Update:
    """A stored update: `seq` counts 1, 2, 3… within its request."""

    seq: int
    kind: Kind
    attempt: int
    body: Mapping[str, Any] = field(default_factory=dict)
    at: int = 0
