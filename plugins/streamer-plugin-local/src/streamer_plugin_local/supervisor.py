"""Keeps the worker processes that the settings ask for: starts, restarts, replaces, ends them."""

import asyncio
import sys
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, cast

from streamer_core.errors import ConfigurationError
from streamer_core.model.call import Health
from streamer_plugin_local.jobs import Jobs
from streamer_plugin_local.process import WorkerProcess
from streamer_plugin_local.records import Kind, Record
from streamer_plugin_local.scheduler import Scheduler
from streamer_plugin_local.settings import LocalSettings

_LOOK_S = 1.0
_QUICK_DEATH_S = 10.0
_BACKOFF_S, _LONGEST_BACKOFF_S = 0.1, 5.0
_END_S = 3.0
_KEPT_DEATHS = 20

Serve = Callable[[WorkerProcess, Record], None]


class Supervisor:
    """Owns the worker processes.

    Args:
        settings: how many of which kind.
        given: what a worker is told first.
        jobs, scheduler: kept informed of who can be given work.
        serve: answers what workers ask of the connections.
    """

    def __init__(
        self,
        settings: LocalSettings,
        given: dict[str, Any],
        jobs: Jobs,
        scheduler: Scheduler,
        serve: Serve,
    ) -> None:
        self.settings = settings
        self.workers: list[WorkerProcess] = []
        self.deaths: deque[str] = deque(maxlen=_KEPT_DEATHS)
        self._given = given
        self._jobs = jobs
        self._scheduler = scheduler
        self._serve = serve
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._quick_deaths = 0
        self._replacing: set[WorkerProcess] = set()
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: asyncio.TimerHandle | None = None

    @property
    def files(self) -> set[str]:
        """The project's source files that any worker has loaded."""
        return {name for worker in self.workers for name in worker.files}

    def health(self) -> Health:
        """Say how many workers are ready."""
        ready = [worker for worker in self.workers if worker.ready]
        wanted = len(self._wanted)
        kinds = {worker.kind for worker in ready}
        return Health(
            name="workers",
            ok=len(kinds) == 2,
            degraded=len(ready) < wanted,
            detail=f"{len(ready)} of {wanted} are ready",
        )

    # -- starting

    async def start(self) -> None:
        """Start all workers and wait until they are ready.

        Raises:
            ConfigurationError: one of them could not start; the others are ended.
        """
        failed = await self._started(self._generation())
        if failed is not None:
            await self.stop(0)
            raise ConfigurationError(failed)
        self._look()

    async def reload(self) -> str | None:
        """Replace all workers by new ones; gives why not, where the new ones cannot start."""
        new, failed = self._generation(), cast("str | None", "it was cancelled")
        try:
            failed = await self._started(new)
        finally:
            # The others are not only those that were there: one may have taken a dead one's place.
            for worker in list(self.workers):
                if (worker in new) is (failed is not None) and not worker.retiring:
                    self._retire(worker, self.settings.drain_timeout / 1000)
            for kind in self._missing():
                self._later(kind)  # one died while there seemed to be enough
        return failed

    def _generation(self) -> list[WorkerProcess]:
        return [self._made(kind) for kind in self._wanted]

    def _made(self, kind: str) -> WorkerProcess:
        return WorkerProcess(self, kind, self._given)

    async def _started(self, workers: list[WorkerProcess]) -> str | None:
        """Start workers and wait until they are ready; gives why not, where one cannot start."""
        for worker in workers:
            try:
                await self._start(worker)
            except OSError as error:
                return f"a worker process cannot be started: {error}"
        return await self._settled(workers)

    async def _start(self, worker: WorkerProcess) -> None:
        self.workers.append(worker)
        try:
            await worker.start()
        except OSError:
            self.workers.remove(worker)
            raise

    @property
    def _wanted(self) -> list[str]:
        return ["sync"] * self.settings.sync_workers + ["async"] * self.settings.async_workers

    def _missing(self) -> list[str]:
        missing = Counter(self._wanted)
        missing.subtract(worker.kind for worker in self.workers if not worker.retiring)
        return list(missing.elements())

    async def _settled(self, workers: list[WorkerProcess]) -> str | None:
        """Wait until all are ready or one has failed; gives its sentence."""

        def failed() -> str | None:
            lost = (w.error or f"a worker ended ({w.exit})" for w in workers if w.gone.is_set())
            return next((w.error for w in workers if w.error), None) or next(lost, None)

        async with self._changed:
            await self._changed.wait_for(lambda: failed() or all(w.ready for w in workers))
        return failed()

    # -- what a worker says

    def heard(self, worker: WorkerProcess, record: Record) -> None:
        """Take a record that answers no job."""
        kind, _, body = record
        if kind in {Kind.READY, Kind.FAILED}:
            worker.take_start(kind, body)
            self._enlist(worker)
            self._notify()
        elif kind == Kind.STATE:
            worker.take_state(body)
            if worker.full:
                self._scheduler.wake_one()
            elif worker in self._scheduler.workers:
                self._scheduler.freed(worker)
            if worker.zombies and not self._stopping:
                self._replace(worker)
        elif kind == Kind.SWEPT:
            self._scheduler.wake_all()  # it may have found more than it woke for
        elif kind == Kind.DUE:
            self._scheduler.due(int.from_bytes(body, "little"))
        else:
            self._serve(worker, record)

    def answered(self, worker: WorkerProcess) -> None:  # noqa: ARG002
        """Hand out what waits."""
        self._jobs.feed()

    def lost(self, worker: WorkerProcess) -> None:
        """Give it nothing more."""
        self._dismiss(worker)

    def ended(self, worker: WorkerProcess) -> None:
        """Replace a worker that died."""
        self.workers.remove(worker)
        self._notify()
        if worker.retiring or self._stopping:
            return
        self.deaths.append(f"{worker.kind} worker {worker.pid}: {worker.error or worker.exit}")
        _say(f"streamer: {self.deaths[-1]}")
        if not worker.was_ready and self._looking is None:
            return  # the first start waits for it, and gives up
        if worker.error and not self._jobs.workers:
            self._jobs.give_up("No worker can start")
        lived = self._loop.time() - worker.started_at
        self._quick_deaths = self._quick_deaths + 1 if lived < _QUICK_DEATH_S else 0
        self._later(worker.kind)

    def _later(self, kind: str) -> None:
        wait = _BACKOFF_S * 2 ** (self._quick_deaths - 1) if self._quick_deaths > 1 else 0.0
        self._do(self._respawn(kind, min(wait, _LONGEST_BACKOFF_S)))

    async def _respawn(self, kind: str, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        if self._stopping or kind not in self._missing():
            return
        try:
            await self._start(self._made(kind))
        except OSError as error:
            _say(f"streamer: a worker process cannot be started: {error}")
            self._quick_deaths += 1
            self._later(kind)

    # -- replacing and ending

    def _replace(self, worker: WorkerProcess) -> None:
        """Start another first; a thread that outlived its timeout may hold on to anything."""
        if not worker.retiring and worker not in self._replacing:
            self._replacing.add(worker)
            self._do(self._replaced(worker))

    async def _replaced(self, worker: WorkerProcess) -> None:
        failed = await self._started([self._made(worker.kind)])
        if failed is not None:
            await asyncio.sleep(_LONGEST_BACKOFF_S)  # it goes on, and is tried again
        elif worker in self.workers and not worker.retiring:
            self._retire(worker, None)
        self._replacing.discard(worker)

    def _retire(self, worker: WorkerProcess, drain_s: float | None) -> None:
        self._dismiss(worker)
        if worker.ready:
            worker.retire(drain_s)
            # It may have been woken and not have looked yet: it does not look any more.
            self._scheduler.wake_one()
        else:
            # One that only starts has nothing in hand, and does not listen yet.
            worker.retiring = True
            worker.kill()

    def _enlist(self, worker: WorkerProcess) -> None:
        if not worker.ready or worker.retiring or self._stopping:
            return
        if worker.kind == "sync":
            self._jobs.workers.append(worker)
            self._jobs.feed()
        else:
            self._scheduler.workers.append(worker)
            worker.wake()

    def _dismiss(self, worker: WorkerProcess) -> None:
        for workers in (self._jobs.workers, self._scheduler.workers):
            if worker in workers:
                workers.remove(worker)

    async def drain(self, kind: str, drain_s: float) -> None:
        """Let the workers of a kind end in this time; those that do not are killed."""
        self._stopping = True
        ending = [worker for worker in self.workers if worker.kind == kind]
        for worker in ending:
            self._retire(worker, drain_s)
        await self._gone(ending, drain_s + _END_S)

    async def stop(self, drain_s: float) -> None:
        """End all that are left."""
        self._stopping = True
        if self._looking is not None:
            self._looking.cancel()
        for worker in self.workers:
            self._retire(worker, drain_s)
        await self._gone(list(self.workers), drain_s + _END_S)
        for task in self._tasks:
            task.cancel()

    async def _gone(self, workers: list[WorkerProcess], timeout_s: float) -> None:
        waiting = [asyncio.ensure_future(worker.gone.wait()) for worker in workers]
        if not waiting:
            return
        _, late = await asyncio.wait(waiting, timeout=timeout_s)
        if late:
            for worker in workers:
                worker.kill()
            await asyncio.wait(late)

    # -- looking after them

    def _look(self) -> None:
        """Kill a worker that shows no sign of life: it is stopped, or holds the interpreter."""
        now = self._loop.time()
        for worker in self.workers:
            if worker.ready and now - worker.heard_at > self.settings.stall_timeout / 1000:
                worker.kill()
        self._looking = self._loop.call_later(_LOOK_S, self._look)

    def _notify(self) -> None:
        self._do(self._notified())

    async def _notified(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _do(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201 - what a developer reads
