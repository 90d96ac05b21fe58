"""One use of a circuit, and what its end says of the dependency."""

from collections.abc import Iterator
from types import TracebackType
from typing import Protocol

from streamer_core import Reject
from streamer_core.context import Stopped
from streamer_core.errors import LostLease, Refused
from streamer_plugin_circuitbreaker.settings import Rules
from streamer_plugin_circuitbreaker.window import Tally

NOTHING = Tally()
WELL = Tally(1)
_NEVER = (Reject, Refused, Stopped, LostLease)


class Guarded(Protocol):
    """What is used: a circuit."""

    def enter(self, guard: "Guard") -> None:
        """Let a use begin, or raise CircuitOpen."""

    def leave(self, guard: "Guard", error: BaseException | None) -> None:
        """Count how it ended."""


class Guard:
    """One use, a context manager.

    Attributes:
        deadline: Unix ms until which it must have ended.
        round: of the circuit, when it began.
        began: monotonic seconds.
        probe: its id, where it probes whether the circuit can be closed.
        counted: what of it was counted while it was under way.
    """

    __slots__ = ("_circuit", "began", "counted", "deadline", "probe", "round")

    def __init__(self, circuit: Guarded, deadline: int) -> None:
        self._circuit = circuit
        self.deadline = deadline
        self.round = 0
        self.began = 0.0
        self.probe = ""
        self.counted = NOTHING

    def __enter__(self) -> None:
        self._circuit.enter(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._circuit.leave(self, error)

    def seen(
        self, error: BaseException | None, rules: Rules, now: int, now_s: float
    ) -> Tally | None:
        """Give the use as it is counted; None where its end says nothing of the dependency.

        Args:
            error: what it raised.
            rules: the circuit's.
            now, now_s: Unix ms, and monotonic seconds.
        """
        failed = now >= self.deadline or (error is not None and _is_failure(error, rules))
        if error is not None and not failed:
            return None
        slow = rules.slow_after is not None and (now_s - self.began) * 1000 > rules.slow_after
        return Tally(1, failed, slow) if failed or slow else WELL


def _is_failure(error: BaseException, rules: Rules) -> bool:
    """Tell whether an exception is a failure of the dependency."""
    if isinstance(error, _NEVER) or not isinstance(error, Exception):
        return False
    names = set(_names(type(error)))
    if not names.isdisjoint(rules.ignored_errors):
        return False
    return isinstance(error, TimeoutError) or not names.isdisjoint(rules.errors)


def _names(kind: type[BaseException]) -> Iterator[str]:
    for cls in kind.__mro__:
        yield cls.__name__
        yield f"{cls.__module__}.{cls.__qualname__}"
