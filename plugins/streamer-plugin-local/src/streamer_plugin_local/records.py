"""What gateway and workers say to each other: length-prefixed records on a socket pair.

A record is a length, a kind, a number that pairs an answer with its question, and a body. Many are
written at once, so that a wake-up and a system call are shared by all that came together.
"""

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Any

from streamer_core.ports import Delivery

_HEADER = struct.Struct("<IBI")
_SHORT = struct.Struct("<H")
_LONG = struct.Struct("<I")

Record = tuple[int, int, bytes]
"""Kind, number, body."""


class Kind(IntEnum):
    """What a record is.

    Gateway to worker: `INIT` to `RESULT`; worker to gateway: the rest. `LOST` is never sent: it is
    how the gateway tells itself that a worker died over a job.
    """

    INIT = 1
    CONNECT = 2
    MESSAGE = 3
    DISCONNECT = 4
    WAKE = 5
    SWEEP = 6
    RETIRE = 7
    RESULT = 8
    READY = 20
    FAILED = 21
    ACCEPTED = 22
    REFUSED = 23
    DONE = 24
    SEND = 25
    SEND_MANY = 26
    CLOSE = 27
    IS_OPEN = 28
    STATE = 29
    SWEPT = 30
    DUE = 31
    SEND_EACH = 32
    LOST = 40


DELIVERIES = (Delivery.DELIVERED, Delivery.GONE, Delivery.BUSY, Delivery.TOO_LARGE)
_DELIVERY_BYTES = {delivery: bytes([i]) for i, delivery in enumerate(DELIVERIES)}


def encode(kind: Kind, number: int, *parts: bytes) -> bytes:
    """Give a record's bytes; its body is the parts, joined."""
    return b"".join((_HEADER.pack(sum(map(len, parts)), kind, number), *parts))


def encode_json(kind: Kind, number: int, value: Any) -> bytes:
    """Give a record whose body is JSON."""
    return encode(kind, number, json.dumps(value, separators=(",", ":")).encode())


def short(part: bytes) -> bytes:
    """Prefix a part of at most 64 KB with its length."""
    return _SHORT.pack(len(part)) + part


def split_short(body: bytes) -> tuple[bytes, bytes]:
    """Give the part that `short` prefixed, and the rest."""
    end = 2 + _SHORT.unpack_from(body)[0]
    return body[2:end], body[end:]


def long(part: bytes) -> bytes:
    """Prefix a part of any length with its length."""
    return _LONG.pack(len(part)) + part


def split_long(body: bytes) -> list[bytes]:
    """Give all the parts that `long` prefixed."""
    parts, at = [], 0
    while at < len(body):
        end = at + 4 + _LONG.unpack_from(body, at)[0]
        parts.append(body[at + 4 : end])
        at = end
    return parts


def pair_up(parts: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Give the first two, the next two, and so on."""
    return zip(parts[::2], parts[1::2], strict=True)


def encode_delivery(delivery: Delivery) -> bytes:
    """Give the body of a `RESULT`."""
    return _DELIVERY_BYTES[delivery]


def encode_done(number: int, frames: Iterable[bytes] = (), extras: bytes = b"") -> bytes:
    """Give the answer to a message: frames for its client, and rarely more, as JSON."""
    return encode(Kind.DONE, number, short(extras), *map(long, frames))


class Splitter:
    """Cuts a stream of bytes into records."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Record]:
        """Give the records that are complete now."""
        if self._rest:
            data = self._rest + data
        records: list[Record] = []
        at, length = 0, len(data)
        while length - at >= _HEADER.size:
            size, kind, number = _HEADER.unpack_from(data, at)
            end = at + _HEADER.size + size
            if end > length:
                break
            records.append((kind, number, data[at + _HEADER.size : end]))
            at = end
        self._rest = data[at:]
        return records
