"""One thread beside the running handlers: heartbeats, progress, chunks and timeouts.

It looks at every running call at least each `TICK_S`, which bounds how late a timeout is noticed.
It sleeps once no call has come for `QUIET_TICKS`: waking it for each of many short calls would cost
more than they do.
"""

import threading
from abc import ABC, abstractmethod

from streamer_core.log import get_logger
from streamer_core.ports import Clock
from streamer_core.scope import TenantScope

TICK_S = 0.05
QUIET_TICKS = 20


class Running(ABC):
    """What the pulse looks at."""

    tenant: str | None = None
    """Whose it is."""

    @property
    @abstractmethod
    def is_zombie(self) -> bool:
        """Whether it was settled while its handler still runs."""

    @abstractmethod
    def tick(self, now: float) -> None:
        """Do what is due at this monotonic time, in seconds; it may block for a write or a send."""

    @abstractmethod
    def stop(self, reason: str) -> None:
        """Ask the handler to stop."""

    @abstractmethod
    def release(self) -> None:
        """Settle without the handler: its worker goes."""


def _tick(running: Running, now: float) -> None:
    try:
        running.tick(now)
    except Exception:  # noqa: BLE001 - one call's trouble may not stop the others' beat
        get_logger().exception("the pulse of a call failed")


class Pulse:
    """Looks at the running calls of one process from a thread of its own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: dict[int, Running] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._asleep = False
        self._quiet = 0
        self._closed = False

    @property
    def running(self) -> list[Running]:
        """The calls it looks at, zombies included."""
        return list(self._running.values())

    @property
    def broken(self) -> bool:
        """Whether its thread has died: nobody looks at the calls any more."""
        with self._lock:  # not while it is being started
            return self._thread is not None and not self._thread.is_alive()

    def add(self, running: Running) -> None:
        """Begin to look at a call."""
        self._running[id(running)] = running
        self._quiet = 0
        if self._thread is None:
            self._start()
        elif self._asleep:
            self._wake.set()

    def remove(self, running: Running) -> None:
        """Look at it no more."""
        self._running.pop(id(running), None)

    def soon(self) -> None:
        """Look now, not at the next tick."""
        self._wake.set()

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(
                    target=self._beat, name="streamer-pulse", daemon=True
                )
                self._thread.start()

    def _beat(self) -> None:
        while not self._closed:
            self._wait()
            self._wake.clear()
            now = self._clock.monotonic()
            for running in list(self._running.values()):
                with TenantScope(running.tenant):
                    _tick(running, now)

    def _wait(self) -> None:
        self._quiet += 1
        if self._running or self._quiet <= QUIET_TICKS:
            self._wake.wait(TICK_S)
            return
        self._asleep = True
        # `add` stores the call before it looks at `_asleep`; so one of the two sees the other.
        if not self._running and not self._closed:
            self._wake.wait()
        self._asleep = False
