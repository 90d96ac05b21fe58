"""Faults that a test switches on, before or after a write took effect."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from streamer_core.ports import Store


@dataclass(kw_only=True, slots=True)
class _Fault:
    verb: str
    error: Exception
    after: bool
    times: int


class Faults:
    """What a store will do wrong next."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Fault] = []

    def fail_next(
        self, verb: str, error: Exception, *, after: bool = False, times: int = 1
    ) -> None:
        """Let the next calls of a verb raise.

        Args:
            verb: a method of `Store`.
            error: what to raise.
            after: raise once the write took effect: a crash between commit and answer.
            times: how many calls fail.

        Raises:
            ValueError: a store has no such verb.
        """
        if verb not in Store.__abstractmethods__:
            raise ValueError(f"a store has no verb {verb!r}")
        with self._lock:
            self._waiting.append(_Fault(verb=verb, error=error, after=after, times=times))

    def clear(self) -> None:
        """Take back what has not happened yet."""
        with self._lock:
            self._waiting.clear()

    def strike(self, verb: str, *, after: bool) -> None:
        """Raise the fault that is waiting for this verb and moment, if one is."""
        with self._lock:
            for fault in self._waiting:
                if fault.verb == verb and fault.after == after:
                    break
            else:
                return
            fault.times -= 1
            if not fault.times:
                self._waiting.remove(fault)
        raise fault.error


class _Faulty(Protocol):
    faults: Faults

    def enter(self) -> threading.RLock: ...


S = TypeVar("S", bound=_Faulty)
P = ParamSpec("P")
R = TypeVar("R")


def verb(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], R]:
    """Make a method atomic under the store's lock, and let faults strike around it."""
    name = method.__name__

    @wraps(method)
    def guarded(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        self.faults.strike(name, after=False)
        with self.enter():
            result = method(self, *args, **kwargs)
        self.faults.strike(name, after=True)
        return result

    return guarded
