"""What a request's consumer sees: plain data, made of the server's messages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from streamer_client.errors import RequestError, request_error


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A snapshot of how far an attempt is; newer ones replace it."""

    percentage: float
    message: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 1
    n: int = 0
    after: int = 0
    """The snapshot was taken after the update of this ``seq``."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A piece of output, the ``seq``-th update of its request."""

    seq: int
    data: Any
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class Restart:
    """A new attempt begins: forget the chunks with a ``seq`` over ``keep_through_seq``."""

    seq: int
    keep_through_seq: int
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class Complete:
    """The result. ``seq`` is None where the server answered at once, without storing."""

    result: Any
    seq: int | None = None
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The terminal error; consumers meet it as the raised ``error``."""

    error: RequestError
    seq: int | None = None


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Updates of these numbers will not come.

    ``expired``: the server no longer has them. ``unread``: the consumer left more of them
    unread than are kept; ``client.follow(id, last_seq=missing_from - 1)`` brings them again.
    """

    missing_from: int
    missing_through: int
    reason: Literal["expired", "unread"]


@dataclass(frozen=True, kw_only=True)
class Acknowledgment:
    """The request is durably stored under ``ref``."""

    ref: str | None
    status: str
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something published to a topic. ``timestamp`` is Unix ms."""

    topic: str
    data: Any
    timestamp: int | None = None


Update = Progress | Chunk | Restart | Gap | Complete
"""What iterating over a request yields."""

Terminal = Complete | Failure
Numbered = Chunk | Restart | Complete | Failure
Wire = Progress | Numbered


def parse_update(raw: Mapping[str, Any]) -> Wire | None:
    """Read a message about a request; None for one this version does not know.

    Raises KeyError, TypeError or ValueError for a known type with its parts missing.
    """
    match raw.get("type"):
        case "progress":
            return _progress(raw)
        case "chunk":
            return Chunk(seq=_seq(raw), data=raw.get("data"), attempt=_attempt(raw))
        case "restart":
            keep = int(raw["keep_through_seq"])
            return Restart(seq=_seq(raw), keep_through_seq=keep, attempt=_attempt(raw))
        case "complete":
            seq = _optional_seq(raw)
            return Complete(result=raw.get("result"), seq=seq, attempt=_attempt(raw))
        case "error" if raw.get("terminal"):
            return Failure(error=request_error(raw), seq=_optional_seq(raw))
    return None


def _progress(raw: Mapping[str, Any]) -> Progress:
    return Progress(
        percentage=float(raw["percentage"]),
        message=str(raw.get("message") or ""),
        metadata=raw.get("metadata") or {},
        attempt=_attempt(raw),
        n=int(raw.get("n", 0)),
        after=int(raw.get("after", 0)),
    )


def _seq(raw: Mapping[str, Any]) -> int:
    seq = int(raw["seq"])
    if seq < 1:
        raise ValueError("seq begins at 1")
    return seq


def _optional_seq(raw: Mapping[str, Any]) -> int | None:
    return None if raw.get("seq") is None else _seq(raw)


def _attempt(raw: Mapping[str, Any]) -> int:
    return int(raw.get("attempt", 1))
