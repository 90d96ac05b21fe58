"""What a handler reports, made fit to be stored and sent."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from streamer_core.errors import TooLarge, Unserializable
from streamer_core.model import encode
from streamer_core.model.request import Snapshot

# A snapshot is written with each heartbeat: one that no store or message holds would end the lease.
_MOST_MESSAGE_CHARS = 1000
_MOST_METADATA_BYTES = 32 * 1024


def next_snapshot(
    last: Snapshot,
    percentage: float,
    message: str,
    metadata: Mapping[str, Any] | None,
    *,
    after: int,
    at: int,
) -> Snapshot:
    """Give the snapshot that follows the last one of the same attempt.

    Raises:
        ValueError: `percentage` is not a number.
        Unserializable: JSON cannot hold `metadata`.
        TooLarge: `metadata` has more than 32 KB.
    """
    number = isinstance(percentage, int | float) and not isinstance(percentage, bool)
    if not number or percentage != percentage:  # noqa: PLR0124 - NaN; `isnan` takes no giant int
        raise ValueError(f"progress takes a number from 0 to 100, not {percentage!r}")
    return replace(
        last,
        percentage=max(last.percentage, min(100, max(0, percentage))),
        message=str(message)[:_MOST_MESSAGE_CHARS],
        metadata=None if metadata is None else _metadata(metadata),
        n=last.n + 1,
        after=after,
        at=at,
    )


def _metadata(metadata: Mapping[str, Any]) -> Any:
    made = plain(dict(metadata), "progress metadata")
    if len(encode.encode(made)) > _MOST_METADATA_BYTES:
        raise TooLarge(f"Progress metadata may have {_MOST_METADATA_BYTES} bytes")
    return made


def retrying(last: Snapshot, *, attempt: int, due_at: int, at: int) -> Snapshot:
    """Give the snapshot that tells of an attempt which ended and will be followed by another."""
    n = last.n + 1 if last.attempt == attempt else 1
    metadata = {"retrying": True, "next_attempt_at": due_at}
    return replace(last, metadata=metadata, attempt=attempt, n=n, at=at)


def plain(value: Any, what: str) -> Any:
    """Give a handler's value as plain JSON of its own.

    Raises:
        Unserializable: JSON cannot hold it.
    """
    try:
        return encode.plain(value)
    except ValueError as error:
        raise Unserializable(f"{what}: {error}") from None
