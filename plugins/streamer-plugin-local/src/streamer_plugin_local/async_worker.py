"""A worker that runs queued requests: it claims the next one when it is woken."""

import threading
from typing import Any

from streamer_core.errors import StoreError
from streamer_core.log import get_logger
from streamer_plugin_local.crew import Crew
from streamer_plugin_local.records import Kind, Record, encode, encode_json
from streamer_plugin_local.worker_base import BaseWorker

_SLOW_S = 0.004
_STORE_FAILED_WAIT_S = 1.0


class AsyncWorker(BaseWorker):
    """Claims and runs requests in up to `slots` threads.

    Short requests run one after the other in one thread; as soon as one waits or takes longer,
    another thread claims the next. So fifty that only wait run at once, and thousands of quick ones
    do not fight over the interpreter.
    """

    def __init__(self, *args: Any, slots: int) -> None:
        super().__init__(*args)
        self._woken = threading.Event()
        self._sweeping = threading.Lock()
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
        threading.Thread(target=self._read, name="streamer-reader", daemon=True).start()
        super().run()

    def running(self) -> int:
        """How many requests are being run."""
        return self.crew.busy + self._sweeping.locked()

    def stop_taking(self) -> None:
        """Claim nothing any more."""
        self.crew.stop()
        self._woken.set()

    def _turn(self) -> None:
        self._woken.wait()
        self._woken.clear()
        if self.retiring:
            return
        self.crew.begin()
        try:
            if self.app.work():
                self._woken.set()
        except StoreError:
            get_logger().exception("nothing could be claimed")
            threading.Timer(_STORE_FAILED_WAIT_S, self._woken.set).start()
        except BaseException:
            self.crash()
            raise
        self.crew.end()

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
            threading.Thread(target=self._sweep, name="streamer-sweep", daemon=True).start()
        else:
            self.control(record)

    def _sweep(self) -> None:
        with self._sweeping:
            try:
                self.app.sweep()
            except Exception:  # noqa: BLE001 - the next round may do better
                get_logger().exception("the sweep failed")
        self.channel.write(encode_json(Kind.SWEPT, 0, None))
