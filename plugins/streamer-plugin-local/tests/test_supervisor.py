"""The supervisor and the scheduler, with workers that are no processes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from streamer_plugin_local import supervisor
from streamer_plugin_local.jobs import Job, Jobs
from streamer_plugin_local.process import WorkerProcess
from streamer_plugin_local.records import Kind, Splitter, encode, encode_json
from streamer_plugin_local.scheduler import Scheduler
from streamer_plugin_local.settings import LocalSettings
from streamer_plugin_local.supervisor import Supervisor

READY = encode_json(Kind.READY, 0, {"files": []})
FAILED = encode_json(Kind.FAILED, 0, {"files": [], "error": "it is broken"})
FULL, FREE = encode(Kind.STATE, 0, b"full"), encode(Kind.STATE, 0, b"free")


class Team:
    """A supervisor, and workers that it believes to have started."""

    def __init__(self, **local: Any) -> None:
        self.jobs, self.scheduler = Jobs(64), Scheduler(60)
        settings = LocalSettings(**local)
        self.supervisor = Supervisor(settings, {}, self.jobs, self.scheduler, _serve_nobody)
        self.supervisor._looking = asyncio.get_running_loop().call_later(60, _nothing)

    @property
    def workers(self) -> list[WorkerProcess]:
        """All that were started and have not ended."""
        return self.supervisor.workers

    def worker(self, kind: str) -> WorkerProcess:
        """Give one that is ready."""
        worker = WorkerProcess(self.supervisor, kind, {})
        self.workers.append(worker)
        worker.process = cast("Any", Process())
        worker.data_received(READY)
        told(worker)
        return worker


class Process:
    """A process that does not end before it is killed."""

    pid = 0
    returncode: int | None = None

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        self.returncode = -number


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[WorkerProcess]:
    """Have workers be started without a process; gives those that were."""
    workers: list[WorkerProcess] = []

    async def start(worker: WorkerProcess) -> None:
        worker.process = cast("Any", Process())
        workers.append(worker)

    monkeypatch.setattr(WorkerProcess, "start", start)
    return workers


def _nothing() -> None: ...


def _serve_nobody(_worker: object, _record: object) -> None:
    raise AssertionError("no worker asks of connections here")


def told(worker: WorkerProcess) -> list[Kind]:
    """Take what waits to be written to a worker."""
    out, worker._out, worker._woken = worker._out, [], False
    return [Kind(kind) for kind, _, _ in Splitter().feed(b"".join(out))]


def run(check: Callable[[], Awaitable[None]]) -> None:
    """Run on an event loop."""

    async def bounded() -> None:
        async with asyncio.timeout(10):
            await check()

    asyncio.run(bounded())


async def until(check: Callable[[], object]) -> None:
    """Let the tasks go on until something holds."""
    while not check():  # noqa: ASYNC110 - bounded by `run`
        await asyncio.sleep(0)


def die(worker: WorkerProcess) -> None:
    """End a worker's process."""
    worker.process.returncode = worker.process.returncode or 1
    worker.connection_lost(None)
    worker._has_exited()


def test_a_worker_that_was_only_believed_to_be_full_is_woken_later() -> None:
    async def check() -> None:
        team = Team()
        one, other = team.worker("async"), team.worker("async")
        sync = team.worker("sync")
        for worker in (one, other):
            worker.data_received(FULL)
            told(worker)

        team.scheduler.due(int(time.time() * 1000))
        assert told(one) == told(other) == []
        for worker in (sync, one, other):
            worker.data_received(FREE)
        assert (told(sync), told(one), told(other)) == ([], [Kind.WAKE], [])

    run(check)


def test_what_a_worker_was_woken_for_another_looks_for_when_it_retires() -> None:
    async def check() -> None:
        team = Team()
        old, new = team.worker("async"), team.worker("async")

        team.supervisor._retire(old, 1.0)
        assert (told(old), told(new)) == ([Kind.RETIRE], [Kind.WAKE])

    run(check)


def test_a_worker_that_only_starts_is_killed_and_gets_nothing_to_do() -> None:
    async def check() -> None:
        team = Team()
        starting = WorkerProcess(team.supervisor, "sync", {})
        starting.process = cast("Any", Process())

        team.supervisor._retire(starting, 1.0)
        assert starting.exit == "SIGKILL"
        starting.data_received(READY)  # said before it was killed
        assert team.jobs.workers == []

    run(check)


def test_of_new_workers_that_are_not_taken_those_that_work_may_end_it(
    started: list[WorkerProcess],
) -> None:
    async def check() -> None:
        team = Team(sync_workers=2, async_workers=1)
        old = [team.worker(kind) for kind in ("sync", "sync", "async")]

        reloading = asyncio.create_task(team.supervisor.reload())
        await until(lambda: len(started) == 3)
        good, starting, bad = started
        good.data_received(READY)
        team.jobs.put(Job(Kind.MESSAGE, (b"",), _no_answer))
        bad.data_received(FAILED)
        assert await reloading == "it is broken"

        assert Kind.RETIRE in told(good)
        assert (good.process.poll(), starting.exit, bad.exit) == (None, "SIGKILL", "SIGKILL")
        assert team.jobs.workers == old[:2]

    run(check)


def test_a_reload_that_is_given_up_ends_the_workers_it_has_started(
    started: list[WorkerProcess],
) -> None:
    async def check() -> None:
        team = Team(sync_workers=1, async_workers=1)
        old = [team.worker(kind) for kind in ("sync", "async")]

        reloading = asyncio.create_task(team.supervisor.reload())
        await until(lambda: len(started) == 2)
        reloading.cancel()
        await asyncio.wait([reloading])
        for worker in started:
            assert worker.exit == "SIGKILL"
            die(worker)
        assert team.workers == old

    run(check)


@pytest.mark.parametrize("said", [READY, FAILED], ids=["taken", "not taken"])
def test_a_death_during_a_reload_leaves_as_many_as_are_wanted(
    started: list[WorkerProcess], said: bytes
) -> None:
    async def check() -> None:
        team = Team(sync_workers=1, async_workers=1)
        old = [team.worker(kind) for kind in ("sync", "async")]

        reloading = asyncio.create_task(team.supervisor.reload())
        await until(lambda: len(started) == 2)
        die(old[0])
        for worker in started[:2]:
            worker.data_received(said)
        await reloading
        for worker in [*started[:2], *old]:
            if worker.retiring:
                die(worker)
        await until(lambda: len(team.workers) == 2)
        await asyncio.sleep(0.05)
        assert sorted(worker.kind for worker in team.workers) == ["async", "sync"]
        assert not any(worker.retiring for worker in team.workers)

    run(check)


def test_a_process_that_cannot_be_started_is_tried_again(
    started: list[WorkerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    can, start = iter([False, False, True]), WorkerProcess.start

    async def perhaps(worker: WorkerProcess) -> None:
        if not next(can):
            raise BlockingIOError("no more processes")
        await start(worker)

    async def check() -> None:
        team = Team(sync_workers=1, async_workers=1)
        old = [team.worker(kind) for kind in ("sync", "async")]
        monkeypatch.setattr(WorkerProcess, "start", perhaps)
        assert "no more processes" in str(await team.supervisor.reload())

        die(old[0])
        await until(lambda: started)
        assert team.workers == [old[1], started[0]]

    run(check)


def test_a_worker_with_a_zombie_is_kept_until_another_is_ready(
    started: list[WorkerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_LONGEST_BACKOFF_S", 0)

    async def check() -> None:
        team = Team(sync_workers=1, async_workers=1)
        stuck, _ = (team.worker(kind) for kind in ("sync", "async"))
        state = encode_json(Kind.STATE, 0, {"busy": 1, "zombies": 1})

        stuck.data_received(state)
        stuck.data_received(state)
        await until(lambda: started)
        started[0].data_received(FAILED)
        die(started[0])
        await until(lambda: not team.supervisor._replacing)
        assert team.jobs.workers == [stuck]

        stuck.data_received(state)
        await until(lambda: len(started) == 2)
        started[1].data_received(READY)
        await until(lambda: stuck.retiring)
        assert team.jobs.workers == [started[1]]

    run(check)


def _no_answer(_kind: int, _body: bytes) -> None:
    raise AssertionError("its worker may end it")
