"""Keeping dead letters beside whoever tells of them: that thread may be the pulse."""

import queue
import threading
from collections.abc import Callable

from streamer_core.errors import StoreError
from streamer_core.log import get_logger
from streamer_core.model.request import Request

MOST_WAITING = 256
_END_S = 5.0


class Keeper:
    """A thread, begun with the first dead letter, that keeps one after the other.

    What it cannot keep, or has no room for, is left to the sweeper's rounds.

    Args:
        keep: keeps a failed request.
    """

    def __init__(self, keep: Callable[[Request], object]) -> None:
        self._keep = keep
        self._waiting: queue.Queue[Request | None] = queue.Queue(MOST_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def take(self, request: Request) -> bool:
        """Keep a failed request soon; False where too many wait."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="dlq", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait(request)
        except queue.Full:
            return False
        return True

    @property
    def waiting(self) -> int:
        """How many were taken and are not kept yet."""
        return self._waiting.unfinished_tasks

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was taken is kept; False where that takes longer."""
        with self._waiting.all_tasks_done:
            return self._waiting.all_tasks_done.wait_for(
                lambda: not self._waiting.unfinished_tasks, timeout_s
            )

    def close(self) -> None:
        """End the thread, once it has kept what waits, within a few seconds."""
        if self._thread is not None and self.flush(_END_S):
            self._waiting.put(None)
            self._thread.join(_END_S)

    def _work(self) -> None:
        while (request := self._waiting.get()) is not None:
            try:
                self._keep(request)
            except StoreError:
                log = get_logger()
                log.warning("dead letter left to the sweeper", ref=request.ref, exc_info=True)
            except Exception:  # noqa: BLE001 - the next one must be kept all the same
                get_logger().exception("dead letter could not be kept", ref=request.ref)
            finally:
                self._waiting.task_done()
