"""A worker that runs queued requests: it claims those that are due when it is woken."""

import threading
import time
from collections import deque
from typing import Any

from streamer_core.engine.work import Ran
from streamer_core.errors import StoreError
from streamer_core.log import get_logger
from streamer_core.model.request import Request
from streamer_plugin_local.crew import Crew
from streamer_plugin_local.records import Kind, Record, encode, encode_json
from streamer_plugin_local.usual import Usual
from streamer_plugin_local.worker_base import BaseWorker, drawn

_SLOW_S = 0.004
_STORE_FAILED_WAIT_S = 1.0
_MOST_AT_ONCE = 64
_REMEMBERED = 8
_BATCH_S = 0.020
"""How long a batch is meant to take: what is claimed with it or has ended in it waits so long."""


class AsyncWorker(BaseWorker):
    """Claims requests, runs them in up to `slots` threads, and settles what became of them.

    ```
    claim ── several, where they are quick ──> run one after the other ──> settle all in one write
                                                 └─ one that waits or takes longer goes on in its
                                                    thread; another thread goes on with the rest
    ```
    So fifty that only wait run at once, and thousands of quick ones neither fight over the
    interpreter nor wait for the disk one by one. A transaction in one thread while others compute
    would last: between any two of its statements they may take the interpreter.
    """

    def __init__(self, *args: Any, slots: int) -> None:
        super().__init__(*args)
        self._slots = slots
        self._woken = threading.Event()
        self._inbox: deque[Request] = deque()
        self._ran: deque[Ran] = deque()
        self._usual_s = _BATCH_S
        self._usual = Usual()
        self._claimed_at = 0.0
        self._sweeping = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="streamer-reader", daemon=True)
        self.crew = Crew(
            self._turn,
            size=slots,
            changed=self._full,
            # Who took the baton from a running request looks for the next one.
            passed=self._woken.set,
            slow_s=_SLOW_S,
        )

    def run(self) -> None:
        """Serve until told to end."""
        self.crew.start()
        self._reader.start()
        super().run()

    def running(self) -> int:
        """How many requests are being claimed, run, settled or given back."""
        waiting = len(self._inbox) + len(self._ran)
        return self.crew.busy + waiting + self._sweeping.locked()

    def broken(self) -> bool:
        """Whether a thread that others wait for has died."""
        return super().broken() or not self._reader.is_alive()

    def stop_taking(self) -> None:
        """Claim nothing any more."""
        self.crew.stop()
        self._woken.set()

    def give_back(self) -> None:
        """Let other workers have what was claimed here and has not begun; settle the rest."""
        self.app.give_back(drawn(self._inbox))
        self.app.settle(drawn(self._ran))

    def _turn(self) -> None:
        try:
            if self._inbox and not self._settling_is_due():
                self._run()
            elif self._ran:
                self._settle()
            else:
                self._seek()
        except BaseException:
            self.crash()
            raise

    def _run(self) -> None:
        try:
            request = self._inbox.popleft()
        except IndexError:
            return  # given back meanwhile
        self.crew.begin()
        if self._usual.of(request.action, _SLOW_S) >= _SLOW_S:
            self.crew.pass_on()  # rather than when the monitor notices
        began, computed = time.monotonic(), time.thread_time()
        ran = self.app.execute(request)
        took = time.monotonic() - began
        self._usual.learn(request.action, took)
        # A slow one has a thread to itself: the next waits only while it computes.
        holds_up = took if took < _SLOW_S else time.thread_time() - computed
        self._usual_s += (holds_up - self._usual_s) / _REMEMBERED
        if self.crew.end():
            self._ran.append(ran)
            if self.retiring:  # this thread takes no other turn
                self.give_back()
        else:
            self.app.settle([ran])  # whoever has the baton now may be waiting

    def _settling_is_due(self) -> bool:
        late = time.monotonic() - self._claimed_at >= _BATCH_S
        return bool(self._ran) and (late or len(self._ran) >= _MOST_AT_ONCE)

    def _settle(self) -> None:
        self.crew.begin()
        self.app.settle(drawn(self._ran))
        self.crew.end()

    def _seek(self) -> None:
        with self.crew.waiting():
            self._woken.wait()
        self._woken.clear()
        try:
            self._claim()
        except StoreError:
            get_logger().exception("nothing could be claimed")
            threading.Timer(_STORE_FAILED_WAIT_S, self._woken.set).start()
        if self.retiring:
            self.give_back()

    def _claim(self) -> None:
        """Claim as many as usually keep each other waiting no longer than a batch may take.

        What is claimed here no other worker can claim, so it must begin soon: no more than there
        are free threads, and one where each computes for long.
        """
        if self.retiring:
            return
        others = self.crew.busy - 1
        fit, free = int(_BATCH_S / self._usual_s), self._slots - others
        claimed = self.app.claim(max(1, min(fit, free, _MOST_AT_ONCE)))
        self._claimed_at = time.monotonic()
        if claimed:
            self._inbox.extend(claimed)
            self._woken.set()  # there may be more

    def _full(self, full: bool) -> None:
        # A wake-up may have been meant for a thread that is not free after all: the gateway then
        # wakes another worker.
        self.channel.write(encode(Kind.STATE, 0, b"full" if full else b"free"))

    def _read(self) -> None:
        while True:
            for record in self.channel.read():
                self._take(record)

    def _take(self, record: Record) -> None:
        kind, _, _ = record
        if kind == Kind.WAKE:
            self._woken.set()
        elif kind == Kind.SWEEP:
            # One that takes longer than the interval does the next one's work too.
            if self._sweeping.acquire(blocking=False):
                threading.Thread(target=self._sweep, name="streamer-sweep", daemon=True).start()
        else:
            self.control(record)

    def _sweep(self) -> None:
        try:
            self.app.sweep()
        except Exception:  # noqa: BLE001 - the next round may do better
            get_logger().exception("the sweep failed")
        try:
            self.channel.write(encode_json(Kind.SWEPT, 0, None))
        finally:
            self._sweeping.release()
