"""What waits for a sync worker, and who gets it."""

from collections import deque
from collections.abc import Callable

from streamer_plugin_local.process import WorkerProcess
from streamer_plugin_local.records import Kind

Answer = Callable[[int, bytes], None]
"""Takes the kind and the body of the answer; `Kind.LOST` where the worker died over the job."""


class Job:
    """A record for a worker, and what to do with its answer."""

    __slots__ = ("answer", "kind", "parts", "size")

    def __init__(self, kind: Kind, parts: tuple[bytes, ...], answer: Answer) -> None:
        self.kind = kind
        self.parts = parts
        self.answer = answer
        self.size = sum(map(len, parts))


class Jobs:
    """Hands jobs to the worker with the fewest under way; keeps the rest in order.

    A job waits here, not in a worker, so that a worker's death costs only what it had begun or was
    about to. Whoever asks to come in takes turns with all that are in: a handshake does not wait
    behind every message that waits, nor the messages behind ten thousand who come back at once.

    Args:
        window: how many jobs one worker is given at once.

    Attributes:
        waiting_bytes: the size of all that waits but handshakes, which the door bounds.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._arrivals: deque[Job] = deque()
        self._waiting: deque[Job] = deque()
        self._arrivals_turn = True
        self.workers: list[WorkerProcess] = []
        self.waiting_bytes = 0

    def put(self, job: Job) -> None:
        """Hand a job to a worker, now or when one has room."""
        worker = None if self._arrivals or self._waiting else self._freest()
        if worker is not None:
            worker.give(job)
        elif job.kind == Kind.CONNECT:
            self._arrivals.append(job)
        else:
            self._waiting.append(job)
            self.waiting_bytes += job.size

    def feed(self) -> None:
        """Hand out what waits; called when a worker has room again."""
        while (self._arrivals or self._waiting) and (worker := self._freest()) is not None:
            worker.give(self._next())

    def _next(self) -> Job:
        if self._arrivals and (self._arrivals_turn or not self._waiting):
            self._arrivals_turn = False
            return self._arrivals.popleft()
        self._arrivals_turn = True
        job = self._waiting.popleft()
        self.waiting_bytes -= job.size
        return job

    def __len__(self) -> int:
        return len(self._arrivals) + len(self._waiting)

    def give_up(self, sentence: str) -> None:
        """Answer all that waits: no worker will."""
        waiting = [*self._arrivals, *self._waiting]
        self._arrivals.clear()
        self._waiting.clear()
        self.waiting_bytes = 0
        for job in waiting:
            job.answer(Kind.LOST, sentence.encode())

    def _freest(self) -> WorkerProcess | None:
        best, fewest = None, self._window
        for worker in self.workers:
            if len(worker.jobs) < fewest:
                best, fewest = worker, len(worker.jobs)
        return best
