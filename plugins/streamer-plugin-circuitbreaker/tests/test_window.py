"""The arithmetic of the window, against lists of calls."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from streamer_plugin_circuitbreaker import window as windows
from streamer_plugin_circuitbreaker.window import TENTHS, Tally, Window

START = 1_800_000_000_000

tallies = st.builds(Tally, st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
widths = st.integers(1000, 360_000).map(lambda tenth: tenth * TENTHS)
times = st.integers(START - 8_000_000, START + 8_000_000)
calls = st.lists(st.tuples(times, tallies), max_size=40)


def counted(those: list[tuple[int, Tally]], window_ms: int) -> Window:
    window: Window = {}
    for at, tally in those:
        window = windows.together(window, windows.at(at, window_ms, tally))
    return window


@given(calls, widths)
def test_it_holds_what_the_last_tenths_hold(those: list[tuple[int, Tally]], window_ms: int) -> None:
    tenth = window_ms // TENTHS
    now_tenth = START // tenth
    total = windows.total(windows.recent(counted(those, window_ms), START, window_ms))
    # By another arithmetic: in tenths' numbers, not in times.
    within = [
        tally
        for at, tally in those
        if START - window_ms < (at // tenth) * tenth and at // tenth <= now_tenth + TENTHS
    ]
    assert total == Tally(*(sum(t[i] for t in within) for i in range(3)))


@given(calls, widths)
def test_nine_tenths_are_always_counted_and_nothing_older_than_all(
    those: list[tuple[int, Tally]], window_ms: int
) -> None:
    past = [(at, tally) for at, tally in those if at <= START]
    total = windows.total(windows.recent(counted(past, window_ms), START, window_ms))
    surely = sum(t.calls for at, t in past if at > START - window_ms + window_ms // TENTHS)
    perhaps = sum(t.calls for at, t in past if at > START - window_ms)
    assert surely <= total.calls <= perhaps


@given(calls, widths, st.data())
def test_in_whatever_parts_it_is_written(
    those: list[tuple[int, Tally]], window_ms: int, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(those))
    cuts = sorted({0, len(those), *data.draw(st.lists(st.integers(0, len(those)), max_size=4))})
    stored: Window = {}
    for begin, end in pairwise(cuts):
        part = counted(shuffled[begin:end], window_ms)
        stored = windows.recent(windows.together(stored, part), START, window_ms)
    at_once = windows.recent(counted(those, window_ms), START, window_ms)
    assert windows.total(stored) == windows.total(at_once)


@given(calls, widths, widths)
def test_processes_with_other_settings_count_side_by_side(
    those: list[tuple[int, Tally]], one_ms: int, other_ms: int
) -> None:
    mixed = windows.together(counted(those[::2], one_ms), counted(those[1::2], other_ms))
    longest = max(one_ms, other_ms)
    total = windows.total(windows.recent(mixed, START, longest)).calls
    past = [(at, tally) for at, tally in those if at > START - longest + longest // TENTHS]
    assert total >= sum(t.calls for at, t in past if at <= START)


@given(tallies, tallies)
def test_what_was_counted_before_is_not_counted_again(one: Tally, other: Tally) -> None:
    assert one.plus(other).minus(one) == other
    assert min(one.minus(other)) >= 0
    assert one.is_bad == (one.failures + one.slow > 0)
