"""A circuit in one process: what it has read, what it has seen and not yet written.

A closed circuit costs no call of the store but a read each `interval`, and a write of what was
gathered: each tenth of the window while all goes well, each `interval` while anything fails. Of a
failure the first is written at once, those after it with the next look, or as soon as they open the
circuit.
"""

import threading
from typing import Any, NoReturn

from streamer_core.errors import CircuitOpen, Conflict, StoreError
from streamer_plugin_circuitbreaker import window as windows
from streamer_plugin_circuitbreaker.gathered import Gathered
from streamer_plugin_circuitbreaker.guard import WELL, Guard
from streamer_plugin_circuitbreaker.kept import Kept
from streamer_plugin_circuitbreaker.settings import Rules
from streamer_plugin_circuitbreaker.state import Phase, State
from streamer_plugin_circuitbreaker.window import Tally, Window

_TEXT = "Something that the request needs is failing; try again later"
_SPREAD = 10
_LEVELS = {Phase.CLOSED: 0, Phase.HALF_OPEN: 1, Phase.OPEN: 2}


class Circuit:
    """One circuit, used by all threads of a process.

    Args:
        name: as people and observers read it.
        rules: its settings.
        app: for clock, store and observers.
    """

    def __init__(self, name: str, rules: Rules, app: Any) -> None:
        self.name = name
        self._rules = rules
        self._app = app
        self._clock = app.clock
        self._interval = rules.interval
        self._kept = Kept(name, app)
        self._state = State()
        self._seen_at = self._wrote_at = self._measured_at = 0
        self._is_store_failing = False
        self._gathered = Gathered(rules)
        self._talking = threading.Lock()

    def guard(self, deadline: int) -> Guard:
        """Give the guard of one use, which has failed where it lasts until `deadline` (Unix ms)."""
        return Guard(self, deadline)

    # -- entering

    def enter(self, guard: Guard) -> None:
        """Let a use begin.

        Raises:
            CircuitOpen: the circuit is open, or is being probed by others.
        """
        now = self._clock.now()
        was_seen = 0 <= now - self._seen_at < self._interval  # of late: each use asks
        if self._state.phase is not Phase.CLOSED or not was_seen:
            self._admit(guard, now)
        guard.round = self._state.round
        if self._rules.slow_after is not None:
            guard.began = self._clock.monotonic()
        if not guard.probe:
            self._gathered.enter(guard)

    def _is_long_since(self, then: int, now: int) -> bool:
        # Time may be set back: nothing is known of how long it is then.
        return not 0 <= now - then < self._interval

    def _look(self, now: int) -> None:
        """Read the state and write what was gathered, where it is time to, unless another thread is
        at it."""
        if self._talking.acquire(blocking=False):
            try:
                if self._is_long_since(self._seen_at, now):
                    self._report(now)
            finally:
                self._talking.release()

    def _admit(self, guard: Guard, now: int) -> None:
        if not self._state.takes_probes(self._rules, now):
            self._look(now)
        state = self._state
        if state.takes_probes(self._rules, now):
            if self._may_ask(now):
                self._probe(guard, now)
        elif state.phase is not Phase.CLOSED:
            self._refuse(state, now)

    def _may_ask(self, now: int) -> bool:
        """Tell whether the store may be asked: one that fails only each `interval`."""
        return not self._is_store_failing or self._is_long_since(self._seen_at, now)

    def _probe(self, guard: Guard, now: int) -> None:
        """Let the use be a probe, where the store has room for one."""
        if not self._talking.acquire(blocking=False):
            self._refuse(self._state, now)
        probe = self._clock.new_id()
        try:
            state = self._kept.move(lambda found: found.probing(probe, self._rules, now))[1]
            self._learn(state, now)
        except Conflict:
            self._refuse(self._state, now)
        except StoreError:
            self._miss(now)
            return  # nobody knows: the call is let through, and says nothing
        finally:
            self._talking.release()
        if probe in state.probes:
            guard.probe = probe
        elif state.phase is not Phase.CLOSED:
            self._refuse(state, now)

    def _refuse(self, state: State, now: int) -> NoReturn:
        rules = self._rules
        self._app.runtime.measure("circuitbreaker.refused", tags={"circuit": self.name})
        wait = rules.interval if state.phase is Phase.HALF_OPEN else rules.open_for
        if state.until is not None:
            wait = min(wait, max(0, state.until - now))
        # All who wait would come in the same moment.
        spread = max(rules.interval, rules.open_for // _SPREAD)
        raise CircuitOpen(_TEXT, retry_after_ms=wait + round(self._clock.random() * spread))

    # -- leaving

    def leave(self, guard: Guard, error: BaseException | None) -> None:
        """Count how a use ended."""
        now = self._clock.now()
        seen: Tally | None = WELL
        if error is not None or now >= guard.deadline or self._rules.slow_after is not None:
            seen = guard.seen(error, self._rules, now, self._clock.monotonic())
        if guard.probe:
            self._end_probe(guard, seen)
            return
        new = self._gathered.leave(guard, seen, now)
        if new is not WELL and new.is_bad and self._is_urgent(now):
            with self._talking:
                now = self._clock.now()
                if self._is_urgent(now):  # who was at it before has not written this
                    self._report(now)

    def _is_urgent(self, now: int) -> bool:
        """Tell whether a failure is to be written at once: the first of late, or one too many."""
        if self._state.phase is not Phase.CLOSED:
            return False
        if self._is_long_since(self._wrote_at, now):
            return True
        after = self._state.counted(self._gathered.look(), self._rules, now)
        return after.phase is Phase.OPEN and self._may_ask(now)

    def _end_probe(self, guard: Guard, seen: Tally | None) -> None:
        def end(found: State) -> State:
            if found.round != guard.round:
                return found
            return found.probed(guard.probe, seen, self._rules, now)

        with self._talking:
            now = self._clock.now()
            try:
                self._learn(self._kept.move(end)[1], now)
            except StoreError:
                return  # it lapses

    # -- the store; whoever calls these holds `_talking`

    def flush(self) -> None:
        """Write what was gathered: this process may be frozen for long."""
        with self._talking:
            now = self._clock.now()
            if self._may_ask(now) and self._is_worth_a_write(self._gathered.look(), now):
                self._report(now)

    def _report(self, now: int) -> None:
        """Read the state, and write what was gathered where that is worth it."""
        round_ = self._gathered.round
        seen = self._gathered.take(now, self._clock.monotonic())

        def count(found: State) -> State:
            if found.phase is not Phase.CLOSED or found.round != round_ or not seen:
                return found
            known = windows.recent(found.window, now, self._rules.window)
            if not (self._is_worth_a_write(seen, now) or windows.total(known).is_bad):
                return found
            return found.counted(seen, self._rules, now)

        try:
            before, after = self._kept.move(count)
        except StoreError:
            self._gathered.put_back(seen)
            self._wrote_at = now
            self._miss(now)
            return
        if after is before:
            self._gathered.put_back(seen)
        else:
            self._wrote_at = now
        self._learn(after, now)

    def _is_worth_a_write(self, seen: Window, now: int) -> bool:
        """Tell whether a window is to be written now: what went well can wait a tenth of it."""
        if windows.total(seen).is_bad:
            return True
        return bool(seen) and not 0 <= now - self._wrote_at < self._rules.window // windows.TENTHS

    def _miss(self, now: int) -> None:
        self._seen_at, self._is_store_failing = now, True

    def _learn(self, state: State, now: int) -> None:
        is_changed = state.phase is not self._state.phase
        if is_changed or self._is_long_since(self._measured_at, now):
            self._measured_at = now
            tags = {"circuit": self.name}
            self._app.runtime.measure("circuit.state", _LEVELS[state.phase], "gauge", tags)
        self._gathered.begin(state.round)
        self._state, self._seen_at, self._is_store_failing = state, now, False
