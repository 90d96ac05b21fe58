"""The supervisor and the scheduler, with workers that are no processes."""

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any, cast

from streamer_plugin_local.jobs import Jobs
from streamer_plugin_local.process import WorkerProcess
from streamer_plugin_local.records import Kind, Splitter, encode, encode_json
from streamer_plugin_local.scheduler import Scheduler
from streamer_plugin_local.settings import LocalSettings
from streamer_plugin_local.supervisor import Supervisor

READY = encode_json(Kind.READY, 0, {"files": []})
FULL, FREE = encode(Kind.STATE, 0, b"full"), encode(Kind.STATE, 0, b"free")


class Team:
    """A supervisor, and workers that it believes to have started."""

    def __init__(self, **local: Any) -> None:
        self.jobs, self.scheduler = Jobs(64), Scheduler(60)
        settings = LocalSettings(**local)
        self.supervisor = Supervisor(settings, {}, self.jobs, self.scheduler, _serve_nobody)

    def worker(self, kind: str) -> WorkerProcess:
        """Give one that is ready."""
        worker = WorkerProcess(self.supervisor, kind, {})
        self.supervisor.workers.append(worker)
        worker.data_received(READY)
        told(worker)
        return worker


def _serve_nobody(_worker: object, _record: object) -> None:
    raise AssertionError("no worker asks of connections here")


def told(worker: WorkerProcess) -> list[Kind]:
    """Take what waits to be written to a worker."""
    out, worker._out, worker._woken = worker._out, [], False
    return [Kind(kind) for kind, _, _ in Splitter().feed(b"".join(out))]


def run(check: Callable[[], None]) -> None:
    """Run on an event loop."""

    async def on_loop() -> None:
        check()

    asyncio.run(on_loop())


def test_a_worker_that_was_only_believed_to_be_full_is_woken_later() -> None:
    def check() -> None:
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
    def check() -> None:
        team = Team()
        old, new = team.worker("async"), team.worker("async")

        team.supervisor._retire(old, 1.0)
        assert (told(old), told(new)) == ([Kind.RETIRE], [Kind.WAKE])

    run(check)


class Process:
    """A process that does not end before it is killed."""

    killed = False

    def poll(self) -> None: ...

    def send_signal(self, number: int) -> None:
        self.killed = number == signal.SIGKILL


def test_a_worker_that_only_starts_is_killed_and_gets_nothing_to_do() -> None:
    def check() -> None:
        team = Team()
        starting = WorkerProcess(team.supervisor, "sync", {})
        starting.process = process = cast("Any", Process())

        team.supervisor._retire(starting, 1.0)
        assert process.killed
        starting.data_received(READY)  # said before it was killed
        assert team.jobs.workers == []

    run(check)
