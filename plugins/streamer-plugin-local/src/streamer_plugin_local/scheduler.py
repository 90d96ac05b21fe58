"""When which async worker is woken."""

import asyncio
import heapq
import time

from streamer_plugin_local.process import WorkerProcess
from streamer_plugin_local.records import Kind, encode

_TIMERS = 100_000
"""How many later due times are kept; the sweeper finds what is over that."""

_GRAIN_MS = 10


class Scheduler:
    """Wakes one worker for each request that is due, in turn, and sweeps now and then.

    A wake-up is a hint: a worker that is woken for nothing asks the store once. One that is lost is
    made good by the next sweep.

    Args:
        sweep_s: how often a worker is told to sweep.
    """

    def __init__(self, sweep_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._sweep_s = sweep_s
        self._timers: list[int] = []
        self._kept: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._due: list[int] = []
        self._missed = False
        self.workers: list[WorkerProcess] = []

    def start(self) -> None:
        """Sweep now, and then at each interval."""
        for worker in self.workers:
            if worker.ready and not worker.retiring:
                worker.write(encode(Kind.SWEEP, 0))
                break
        self._sweep_timer = self._loop.call_later(self._sweep_s, self.start)

    def stop(self) -> None:
        """Wake nobody any more."""
        self.workers = []
        for timer in (self._timer, self._sweep_timer):
            if timer is not None:
                timer.cancel()

    def due_threadsafe(self, due_at: int) -> None:
        """Take a due time, Unix ms, from any thread."""
        self._due.append(due_at)
        # Only the first of a batch has to wake the loop.
        if len(self._due) == 1:
            self._loop.call_soon_threadsafe(self._take)

    def due(self, due_at: int) -> None:
        """Wake a worker when it is due: now, or later."""
        if due_at <= time.time() * 1000:
            self.wake_one()
            return
        slot = due_at // _GRAIN_MS + 1
        if slot in self._kept or len(self._timers) >= _TIMERS:
            return
        self._kept.add(slot)
        heapq.heappush(self._timers, slot)
        self._arm()

    def wake_one(self) -> None:
        """Wake the next worker that has a free thread."""
        for _ in self.workers:
            self._next = (self._next + 1) % len(self.workers)
            worker = self.workers[self._next]
            if not worker.full:
                worker.wake()
                return
        self._missed = True

    def freed(self, worker: WorkerProcess) -> None:
        """Wake a worker that is not full where a wake-up found only full ones.

        It may have looked for work, and found none, before that wake-up: what it said in between
        was still on its way.
        """
        if self._missed:
            self._missed = False
            worker.wake()

    def wake_all(self) -> None:
        """Wake every worker: how much is due is not known."""
        for worker in self.workers:
            worker.wake()

    def _take(self) -> None:
        due, self._due = self._due, []
        for due_at in due:
            self.due(due_at)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait_s = self._timers[0] * _GRAIN_MS / 1000 - time.time()
        self._timer = self._loop.call_later(max(0.0, wait_s), self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = time.time() * 1000 / _GRAIN_MS
        while self._timers and self._timers[0] <= now:
            self._kept.discard(heapq.heappop(self._timers))
            # How many requests share the due time is not kept: each worker asks.
            self.wake_all()
        if self._timers:
            self._arm()
