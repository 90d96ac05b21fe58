"""A circuit in one process: what it has read, what it has seen and not yet written.

A closed circuit costs no call of the store but a read each `interval`, and a write of what was
gathered: each tenth of the window while all goes well, each `interval` while anything fails. Of a
failure the first is written at once, those after it with the next look, or as soon as they open the
circuit.
"""

import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, NoReturn

from streamer_core import Reject
from streamer_core.context import Stopped
from streamer_core.errors import CircuitOpen, Conflict, LostLease, Refused, StoreError
from streamer_plugin_circuitbreaker import window as windows
from streamer_plugin_circuitbreaker.kept import Kept
from streamer_plugin_circuitbreaker.settings import Rules
from streamer_plugin_circuitbreaker.state import Phase, State
from streamer_plugin_circuitbreaker.window import Tally, Window

_NEVER = (Reject, Refused, Stopped, LostLease)
_TEXT = "Something that the request needs is failing; try again later"
_SPREAD = 10
_NOTHING = Tally()


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
        self._seen_at = -rules.interval
        self._is_store_failing = False
        self._wrote_at = 0
        self._gathered: Window = {}
        self._running: set[Guard] = set()
        self._counting = threading.Lock()
        self._talking = threading.Lock()

    def guard(self, deadline: int) -> "Guard":
        """Give the guard of one use, which has failed where it lasts until `deadline` (Unix ms)."""
        return Guard(self, deadline)

    # -- entering

    def enter(self, guard: "Guard") -> None:
        """Let a use begin.

        Raises:
            CircuitOpen: the circuit is open, or is being probed by others.
        """
        now = self._clock.now()
        if self._state.phase is not Phase.CLOSED or self._is_due(now):
            self._look(now)
            self._admit(guard, now)
        guard.round = self._state.round
        guard.began = self._clock.monotonic()
        self._running.add(guard)

    def _is_due(self, now: int) -> bool:
        # Time may be set back: then it is time to look, too.
        return not 0 <= now - self._seen_at < self._interval

    def _look(self, now: int) -> None:
        """Read the state and write what was gathered, unless another thread is at it."""
        if self._is_due(now) and self._talking.acquire(blocking=False):
            try:
                self._report(now)
            finally:
                self._talking.release()

    def _admit(self, guard: "Guard", now: int) -> None:
        state = self._state
        if state.phase is Phase.OPEN and (state.until is None or now < state.until):
            self._refuse(state, now)
        if state.phase is Phase.CLOSED:
            return
        if state.phase is Phase.HALF_OPEN and not state.has_room(self._rules, now):
            self._refuse(state, now)
        self._probe(guard, now)

    def _probe(self, guard: "Guard", now: int) -> None:
        """Let the use be a probe, where the store has room for one."""
        if not self._talking.acquire(blocking=False):
            self._refuse(self._state, now)
        probe = self._clock.new_id()
        try:
            _, state = self._kept.move(lambda found: found.probing(probe, self._rules, now))
        except Conflict:
            self._refuse(self._state, now)
        except StoreError:
            return  # nobody knows: the call is let through, and says nothing
        finally:
            self._talking.release()
        self._learn(state, now)
        if probe in state.probes:
            guard.probe = probe
        elif state.phase is not Phase.CLOSED:
            self._refuse(state, now)

    def _refuse(self, state: State, now: int) -> NoReturn:
        rules = self._rules
        self._app.runtime.measure("circuitbreaker.refused", tags={"circuit": self.name})
        wait = rules.interval if state.phase is Phase.HALF_OPEN else rules.open_for
        if state.until is not None:
            wait = max(0, state.until - now)
        # All who wait would come in the same moment.
        spread = max(rules.interval, rules.open_for // _SPREAD)
        raise CircuitOpen(_TEXT, retry_after_ms=wait + round(self._clock.random() * spread))

    # -- leaving

    def leave(self, guard: "Guard", error: BaseException | None) -> None:
        """Count how a use ended."""
        self._running.discard(guard)
        now = self._clock.now()
        seen = self._seen(guard, error, now)
        if guard.probe:
            self._end_probe(guard, seen, now)
        elif seen is not None:
            self._count(guard, seen, now)

    def _seen(self, guard: "Guard", error: BaseException | None, now: int) -> Tally | None:
        """Give a use as it is counted; None where its end says nothing of the dependency."""
        failed = now >= guard.deadline or (error is not None and self._is_failure(error))
        if error is not None and not failed:
            return None
        return Tally(1, failed, self._is_slow(guard))

    def _is_slow(self, guard: "Guard") -> bool:
        slow_after = self._rules.slow_after
        took_s = self._clock.monotonic() - guard.began
        return slow_after is not None and took_s * 1000 > slow_after

    def _is_failure(self, error: BaseException) -> bool:
        if isinstance(error, _NEVER) or not isinstance(error, Exception):
            return False
        names = set(_names(type(error)))
        if not names.isdisjoint(self._rules.ignored_errors):
            return False
        return isinstance(error, TimeoutError) or not names.isdisjoint(self._rules.errors)

    def _count(self, guard: "Guard", seen: Tally, now: int) -> None:
        with self._counting:
            if not self._is_of_now(guard):
                return
            new = seen.minus(guard.counted)
            self._gather(new, now)
        if new.is_bad and self._is_urgent(now):
            with self._talking:
                if self._is_urgent(now):  # who was at it before has not written this
                    self._report(now)

    def _is_of_now(self, guard: "Guard") -> bool:
        return guard.round == self._state.round and self._state.phase is Phase.CLOSED

    def _gather(self, seen: Tally, now: int) -> None:
        more = windows.at(now, self._rules.window, seen)
        self._gathered = windows.together(self._gathered, more)

    def _is_urgent(self, now: int) -> bool:
        """Tell whether a failure is to be written at once: the first of late, or one too many."""
        if self._state.phase is not Phase.CLOSED:
            return False
        if not 0 <= now - self._wrote_at < self._interval:
            return True
        with self._counting:
            after = self._state.counted(self._gathered, self._rules, now)
        return after.phase is Phase.OPEN and not self._is_store_failing

    def _end_probe(self, guard: "Guard", seen: Tally | None, now: int) -> None:
        def end(found: State) -> State:
            if found.round != guard.round:
                return found
            return found.probed(guard.probe, seen, self._rules, now)

        with self._talking:
            try:
                _, state = self._kept.move(end)
            except StoreError:
                return  # it lapses
            self._learn(state, now)

    # -- the store

    def flush(self) -> None:
        """Write what was gathered: this process may be frozen for long."""
        now = self._clock.now()
        with self._talking:
            if self._is_worth_a_write(self._gathered, now):
                self._report(now)

    def _is_worth_a_write(self, seen: Window, now: int) -> bool:
        """Tell whether a window is to be written now: what went well can wait a tenth of it."""
        if windows.total(seen).is_bad:
            return True
        return bool(seen) and not 0 <= now - self._wrote_at < self._rules.window // windows.TENTHS

    def _report(self, now: int) -> None:
        """Read the state and write what was gathered, where that is worth it. Holds `_talking`."""
        with self._counting:
            self._count_running(now)
            seen, self._gathered = self._gathered, {}
            seen = windows.recent(seen, now, self._rules.window)
            round_ = self._state.round

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
            self._give_back(seen)
            self._seen_at = self._wrote_at = now
            self._is_store_failing = True
            return
        if after is before:
            self._give_back(seen)
        else:
            self._wrote_at = now
        self._learn(after, now)

    def _count_running(self, now: int) -> None:
        """Count uses under way that are slow already, or should have ended."""
        for guard in list(self._running):
            seen = Tally(1, now >= guard.deadline, self._is_slow(guard))
            if seen.is_bad and self._is_of_now(guard):
                self._gather(seen.minus(guard.counted), now)
                guard.counted = seen

    def _give_back(self, seen: Window) -> None:
        with self._counting:
            self._gathered = windows.together(self._gathered, seen)

    def _learn(self, state: State, now: int) -> None:
        with self._counting:
            if state.round != self._state.round:
                self._gathered = {}
            self._state, self._seen_at, self._is_store_failing = state, now, False


class Guard:
    """One use of a circuit, a context manager.

    Attributes:
        deadline: Unix ms until which it must have ended.
        round: of the circuit, when it began.
        began: monotonic seconds.
        probe: its id, where it probes whether the circuit can be closed.
        counted: what of it was counted while it was under way.
    """

    __slots__ = ("_circuit", "began", "counted", "deadline", "probe", "round")

    def __init__(self, circuit: Circuit, deadline: int) -> None:
        self._circuit = circuit
        self.deadline = deadline
        self.round = 0
        self.began = 0.0
        self.probe = ""
        self.counted = _NOTHING

    def __enter__(self) -> None:
        self._circuit.enter(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._circuit.leave(self, error)


def _names(kind: type[BaseException]) -> Iterator[str]:
    for cls in kind.__mro__:
        yield cls.__name__
        yield f"{cls.__module__}.{cls.__qualname__}"
