"""What a process has seen of a circuit and not yet written."""

import threading

from streamer_plugin_circuitbreaker import window as windows
from streamer_plugin_circuitbreaker.guard import NOTHING, WELL, Guard
from streamer_plugin_circuitbreaker.settings import Rules
from streamer_plugin_circuitbreaker.window import TENTHS, Tally, Window


class Gathered:
    """Counts uses; safe to use from any thread.

    Attributes:
        round: of the circuit; uses that began in another are left out.
        enter: lets a use begin.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._tenth_ms = rules.window // TENTHS
        self._lock = threading.Lock()
        self._counts: dict[int, list[int]] = {}
        self._running: set[Guard] = set()
        self.enter = self._running.add
        self.round = 0

    def leave(self, guard: Guard, seen: Tally | None, now: int) -> Tally:
        """Count a use that ended; None: its end says nothing. Gives what is new of it."""
        with self._lock:
            self._running.discard(guard)
            if seen is None or guard.round != self.round:
                return NOTHING
            new = seen if guard.counted is NOTHING else seen.minus(guard.counted)
            self._add(new, now)
            return new

    def take(self, now: int, now_s: float) -> Window:
        """Take what is gathered, to write it; uses under way that are bad already are in it."""
        with self._lock:
            for guard in self._running.copy():
                seen = guard.seen(None, self._rules, now, now_s)
                if seen is not None and seen.is_bad and guard.round == self.round:
                    self._add(seen.minus(guard.counted), now)
                    guard.counted = seen
            taken, self._counts = self._window(), {}
            return windows.recent(taken, now, self._rules.window)

    def put_back(self, window: Window) -> None:
        """Gather again what was taken and not written."""
        with self._lock:
            for begins, tally in window.items():
                self._add(tally, begins)

    def look(self) -> Window:
        """Give what is gathered."""
        with self._lock:
            return self._window()

    def begin(self, round_: int) -> None:
        """Forget all that is of another round."""
        with self._lock:
            if round_ != self.round:
                self.round, self._counts = round_, {}

    def _add(self, tally: Tally, now: int) -> None:
        begins = now - now % self._tenth_ms
        counts = self._counts.get(begins)
        if counts is None:
            counts = self._counts[begins] = [0, 0, 0]
        counts[0] += tally[0]
        if tally is not WELL:
            counts[1] += tally[1]
            counts[2] += tally[2]

    def _window(self) -> Window:
        return {begins: Tally(*counts) for begins, counts in self._counts.items()}
