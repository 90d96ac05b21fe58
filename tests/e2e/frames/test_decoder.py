"""Generated messages against the decoder: the error that PROTOCOL.md names, soon, and no more.

A hundred thousand in the long form.
"""

import json
import random
import time
import tracemalloc

import pytest

from streamer_core.errors import Invalid, InvalidMessage, Refused, TooLarge
from streamer_core.model import encode
from streamer_core.model.decode import decode, request_id_of
from streamer_core.model.message import Message
from tests.e2e.frames import oracle
from tests.e2e.frames.garden import BULK_KINDS, LIMIT, Garden
from tests.e2e.kit.processes import own_memory_mb
from tests.e2e.kit.seed import rounds

_REFUSALS = (TooLarge, InvalidMessage, Invalid)
_MOST_S = 2.0
"""The slowest takes 0.03 s; what grows with the square of a message's length would take minutes.
Between lies a collection of all garbage of the process."""
_MOST_ANSWER_BYTES = 4096
_MOST_GROWTH_MB = 30
_WARM_UP = 1_000


def _read(data: bytes) -> Message | Refused:
    try:
        return decode(
            data, max_bytes=LIMIT, max_delay_ms=oracle.MAX_DELAY_MS, new_id=lambda: "made"
        )
    except _REFUSALS as error:
        return error


@pytest.mark.timeout(900)
def test_generated_messages(chance: random.Random) -> None:
    garden = Garden(chance)
    slowest, before = 0.0, 0.0
    for number in range(rounds(3_000, 100_000)):
        if number == _WARM_UP:
            before = own_memory_mb()
        data = garden.text(f"f-{number}") if number % 50 else garden.bulk()
        began = time.thread_time()
        found = _read(data)
        named = request_id_of(data)
        slowest = max(slowest, time.thread_time() - began)
        _check(data, found, named)
    assert slowest < _MOST_S
    assert own_memory_mb() - before < _MOST_GROWTH_MB


def _check(data: bytes, found: Message | Refused, named: str | None) -> None:
    expected = oracle.refusal(data, LIMIT)
    code = found.code if isinstance(found, Refused) else None
    assert code == expected, f"{code} instead of {expected}: {data[:300]!r}"
    if isinstance(found, Message):
        assert (found.id, found.size) == (oracle.named(data) or "made", len(data))
        return
    if expected == "VALIDATION_ERROR":
        assert named == oracle.named(data), data[:300]
    answer = encode.refused(0, named, found).data
    assert len(answer) < _MOST_ANSWER_BYTES, answer[:300]
    assert json.loads(answer)["error"]["code"] == code


@pytest.mark.parametrize("kind", BULK_KINDS)
def test_no_message_takes_much_more_memory_than_it_has_bytes(
    chance: random.Random, kind: int
) -> None:
    """What Python makes of JSON is larger: an empty list of two bytes takes fifty-six."""
    data = Garden(chance).bulk(kind)
    tracemalloc.start()
    try:
        _read(data)
        request_id_of(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 80 * LIMIT, f"{peak} bytes for {data[:60]!r}…"
