"""Whatever moves are made, in whatever order: the rules of a circuit hold."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from streamer_plugin_circuitbreaker.settings import Rules
from streamer_plugin_circuitbreaker.state import Phase, State
from streamer_plugin_circuitbreaker.window import Tally, at

START = 1_800_000_000_000
RULES = Rules(minimum_calls=4, probes=2)


@given(
    st.integers(1, 60),
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(1, 100),
    st.integers(1, 60),
)
def test_it_opens_where_the_rate_is_reached(
    calls: int, failures: int, slow: int, percent: int, least: int
) -> None:
    rules = Rules(failure_rate=percent / 100, slow_rate=percent / 100, minimum_calls=least)
    seen = Tally(calls, min(failures, calls), min(slow, calls))
    after = State().counted(at(START, rules.window, seen), rules, START)
    reached = 100 * seen.failures >= percent * calls or 100 * seen.slow >= percent * calls
    assert (after.phase is Phase.OPEN) == (calls >= least and reached)


class Moves(RuleBasedStateMachine):
    """A circuit moved at random."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.state = State()
        self.under_way: list[tuple[str, int]] = []
        self.names = 0

    def move(self, after: State) -> None:
        before, self.state = self.state, after
        assert (after.phase is not before.phase) <= (after.round > before.round)
        assert after.round >= before.round
        if before.is_by_hand and after.phase is Phase.CLOSED:
            assert self.closed_by_hand

    @rule(ms=st.sampled_from([0, 1, 1000, 30_000, 60_000, 600_000]))
    def wait(self, ms: int) -> None:
        self.now += ms

    @rule(failures=st.integers(0, 4))
    def count(self, failures: int) -> None:
        if self.state.phase is Phase.CLOSED:
            seen = at(self.now, RULES.window, Tally(4, failures))
            self.move(self.state.counted(seen, RULES, self.now))

    @rule()
    def probe(self) -> None:
        self.names += 1
        name = str(self.names)
        before = self.state
        self.move(before.probing(name, RULES, self.now))
        if name in self.state.probes:
            assert before.phase is not Phase.CLOSED
            assert before.phase is Phase.HALF_OPEN or (before.until or 0) <= self.now
            self.under_way.append((name, self.state.round))
        else:
            assert self.state is before

    @rule(seen=st.sampled_from([Tally(1), Tally(1, 1), Tally(1, 0, 1), None]), which=st.integers(0))
    def end(self, seen: Tally | None, which: int) -> None:
        if self.under_way:
            name, round_ = self.under_way.pop(which % len(self.under_way))
            if round_ == self.state.round:
                self.move(self.state.probed(name, seen, RULES, self.now))

    @rule()
    def open_by_hand(self) -> None:
        self.move(self.state.opened_by_hand(self.now))
        assert self.state.is_by_hand

    closed_by_hand = False

    @rule()
    def close_by_hand(self) -> None:
        self.closed_by_hand = True
        self.move(self.state.closed(self.now))
        self.closed_by_hand = False
        assert self.state.phase is Phase.CLOSED

    @invariant()
    def probes_are_bounded(self) -> None:
        assert len(self.state.alive(RULES, self.now)) <= RULES.probes
        assert len(self.state.probes) <= RULES.probes, "lapsed ones are forgotten"
        assert self.state.passed < RULES.probes

    @invariant()
    def the_store_keeps_all_of_it(self) -> None:
        plain = json.loads(json.dumps(self.state.to_plain()))
        assert State.from_plain(plain) == self.state
        assert State.from_plain({**plain, "of_a_newer_version": 1}) == self.state


Moves.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestMoves = Moves.TestCase
