"""Promises 2 and 3, against every order that a wire can make of a stream."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from streamer_client.errors import Failed
from streamer_client.messages import (
    Chunk,
    Complete,
    Failure,
    Gap,
    Numbered,
    Progress,
    Restart,
    Wire,
)
from streamer_client.stream import Applied, RequestStream


@st.composite
def server_streams(draw: st.DrawFn) -> list[Wire]:
    """A request as a server tells it: chunks, restarts, progress, and one end."""
    messages: list[Wire] = []
    seq, attempt, n = 0, 1, 0
    for kind in draw(st.lists(st.sampled_from("cccprp"), max_size=25)):
        if kind == "p":
            n += 1
            messages.append(Progress(percentage=n, attempt=attempt, n=n, after=seq))
            continue
        seq += 1
        if kind == "r":
            attempt, n = attempt + 1, 0
            keep = draw(st.integers(0, seq - 1))
            messages.append(Restart(seq=seq, keep_through_seq=keep, attempt=attempt))
        else:
            messages.append(Chunk(seq=seq, data=seq, attempt=attempt))
    end = st.sampled_from([True, False])
    if draw(end):
        messages.append(Complete(seq=seq + 1, result="done", attempt=attempt))
    else:
        messages.append(Failure(seq=seq + 1, error=Failed("PROCESSING_FAILED", "no")))
    return messages


def numbered(messages: Sequence[Wire | Applied]) -> list[Numbered]:
    return [one for one in messages if not isinstance(one, Progress | Gap)]


def feed(stream: RequestStream, messages: Sequence[Wire]) -> list[Applied]:
    return [applied for message in messages for applied in stream.apply(message)]


@given(server_streams(), st.data())
def test_any_order_with_repeats_and_losses_gives_the_stream(
    sent: list[Wire], data: st.DataObject
) -> None:
    wire = data.draw(st.permutations(sent + data.draw(st.lists(st.sampled_from(sent)))))
    lost = data.draw(st.sets(st.integers(0, len(wire) - 1)))
    stream = RequestStream(held_limit=data.draw(st.integers(1, 30)))

    seen = feed(stream, [one for place, one in enumerate(wire) if place not in lost])
    replay = [one for one in numbered(sent) if (one.seq or 0) > stream.last_seq]
    if stream.terminal is None:
        # A resume brings pages until nothing is missing, the first perhaps with a repeat.
        assert stream.gap or not seen or stream.last_seq < len(numbered(sent))
        seen += feed(stream, replay)

    assert numbered(seen) == numbered(sent)
    assert not stream.gap
    assert stream.last_seq == len(numbered(sent))


@given(server_streams(), st.data())
def test_progress_never_goes_back_nor_comes_after_the_end(
    sent: list[Wire], data: st.DataObject
) -> None:
    stream = RequestStream()
    seen = feed(stream, data.draw(st.permutations(sent)))

    marks = [(one.attempt, one.n) for one in seen if isinstance(one, Progress)]
    assert marks == sorted(set(marks))
    assert isinstance(seen[-1], Complete | Failure)


@given(server_streams(), st.data())
def test_in_order_nothing_is_held_dropped_or_missing(sent: list[Wire], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(sent)))
    stream = RequestStream()
    assert feed(stream, sent[:cut]) == sent[:cut]
    assert not stream.gap


@given(server_streams(), st.integers(0, 30), st.data())
def test_what_has_expired_is_told_once_and_the_rest_comes(
    sent: list[Wire], oldest: int, data: st.DataObject
) -> None:
    stream = RequestStream()
    expired = min(oldest, len(numbered(sent)) - 1)
    kept = [one for one in numbered(sent) if (one.seq or 0) > expired]
    last = len(numbered(sent))
    seen = feed(stream, data.draw(st.permutations(kept))) + stream.skip(last)

    gaps = [one for one in seen if isinstance(one, Gap)]
    assert gaps == (
        [Gap(missing_from=1, missing_through=expired, reason="expired")] if expired else []
    )
    assert numbered(seen) == kept


def test_the_end_is_never_lost_with_what_has_expired() -> None:
    stream = RequestStream(last_seq=2)
    assert stream.skip(6) == [Gap(missing_from=3, missing_through=6, reason="expired")]
    assert stream.apply(Chunk(seq=5, data=None)) == []
    end = Complete(seq=6, result=1)
    assert stream.apply(end) == [end]
    assert stream.apply(end) == []
    assert stream.skip(9) == []


def test_an_end_without_number_is_the_end() -> None:
    stream = RequestStream()
    end = Failure(error=Failed("TIMEOUT", "no"))
    assert stream.apply(end) == [end]
    assert stream.apply(Progress(percentage=1, n=1)) == []


def test_a_snapshot_taken_after_a_missing_update_shows_the_gap() -> None:
    stream = RequestStream()
    stream.apply(Progress(percentage=1, n=1, after=1))
    assert stream.gap
    stream.apply(Chunk(seq=1, data=None))
    assert not stream.gap


def test_what_is_held_is_bounded() -> None:
    stream = RequestStream(held_limit=2)
    assert feed(stream, [Chunk(seq=seq, data=seq) for seq in (5, 4, 3, 2)]) == []
    seen = stream.apply(Chunk(seq=1, data=1))
    assert [one.data for one in seen if isinstance(one, Chunk)] == [1, 2, 3]
    assert stream.gap
