"""One worker process as the gateway has it."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from streamer_plugin_local.records import Kind, Record, Splitter, encode, encode_json, short

if TYPE_CHECKING:
    from streamer_plugin_local.jobs import Job

_FLUSH_S = 0.001
_REAP_S = 2.0
_REST_S = 0.5
_FIRST_ANSWER, _LAST_ANSWER = int(Kind.ACCEPTED), int(Kind.DONE)
_DIED = "The worker stopped before it answered; whether the message was carried out is not known"


class Owner(Protocol):
    """Who hears of a worker."""

    def heard(self, worker: "WorkerProcess", record: Record) -> None:
        """Take a record that answers no job."""

    def answered(self, worker: "WorkerProcess") -> None:
        """Learn that jobs were answered, so that the worker has room."""

    def lost(self, worker: "WorkerProcess") -> None:
        """Learn that it takes no more jobs."""

    def ended(self, worker: "WorkerProcess") -> None:
        """Learn that the process is gone; its jobs have been answered for it."""


class WorkerProcess(asyncio.Protocol):
    """Starts a process, writes to it in batches, reads what it says.

    Records go out together at the end of the event loop's round; jobs for a worker that has some
    under way wait a little longer, until it answers or a millisecond has passed.

    Args:
        owner: hears of it.
        kind: `sync` or `async`.
        given: what it is told first.
    """

    def __init__(self, owner: Owner, kind: str, given: dict[str, Any]) -> None:
        self.kind = kind
        self.ready = False
        self.was_ready = False
        self.retiring = False
        self.full = False
        self.busy = 0
        self.zombies = 0
        self.jobs: dict[int, Job] = {}
        self.error: str | None = None
        self.files: list[str] = []
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self.started_at = self.heard_at = self._loop.time()
        self._splitter = Splitter()
        self._out: list[bytes] = [encode_json(Kind.INIT, 0, {**given, "kind": kind})]
        self._scheduled = True
        self._waits = False
        self._woken = False
        self._number = 0
        self._transport: asyncio.Transport | None = None
        self._exited = False
        self._closed = False
        self._ending: asyncio.TimerHandle | None = None
        self.gone = asyncio.Event()

    async def start(self) -> None:
        """Start the process; it says later that it is ready.

        Raises:
            OSError: the system lets no more be started.
        """
        ours, theirs = socket.socketpair()
        try:
            # It gets a session of its own: Ctrl-C is for the gateway alone.
            self.process = subprocess.Popen(  # noqa: ASYNC220, S603 - it only forks; ours alone
                [sys.executable, "-m", "streamer_plugin_local.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        await self._loop.create_connection(lambda: self, sock=ours)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    # -- to the worker

    def give(self, job: "Job") -> None:
        """Give it a job."""
        self._number = number = (self._number + 1) & 0xFFFFFFFF
        busy = bool(self.jobs)
        self.jobs[number] = job
        self._out.append(encode(job.kind, number, *job.parts))
        self._flush_later(_FLUSH_S if busy else 0)

    def write(self, record: bytes) -> None:
        """Queue a record for the next flush."""
        self._out.append(record)
        self._flush_later(0)

    def _flush_later(self, wait_s: float) -> None:
        if wait_s and not self._waits:
            self._waits = True
            self._loop.call_later(wait_s, self._flush)
        elif not wait_s and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def wake(self) -> None:
        """Tell it that there is something to claim; once a flush is enough."""
        if not self._woken:
            self._woken = True
            self.write(encode(Kind.WAKE, 0))

    def _flush(self) -> None:
        self._scheduled = self._waits = self._woken = False
        if self._out and self._transport is not None:
            out, self._out = self._out, []
            self._transport.write(b"".join(out))

    def retire(self, drain_s: float | None) -> None:
        """Tell it to take nothing new and to end: in this time, or None: when its work is done."""
        self.retiring = True
        self.write(encode_json(Kind.RETIRE, 0, drain_s))

    def kill(self) -> None:
        """End it at once."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)

    # -- from the worker

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to write."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        threading.Thread(target=self._wait, name="streamer-exit", daemon=True).start()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take records: answers to jobs here, everything else to the owner."""
        self.heard_at = self._loop.time()
        answered = False
        for record in self._splitter.feed(data):
            kind, number, body = record
            if not _FIRST_ANSWER <= kind <= _LAST_ANSWER:
                self._owner.heard(self, record)
            elif job := self.jobs.pop(number, None):
                answered = True
                job.answer(kind, body)
        if answered:
            self._owner.answered(self)
            if self._out:
                self._flush_later(0)

    def _wait(self) -> None:
        self.process.wait()
        with suppress(RuntimeError):  # the event loop is closed, and the gateway at its end
            self._loop.call_soon_threadsafe(self._has_exited)

    def _has_exited(self) -> None:
        self._exited = True
        if self._closed:
            self._end()
        else:
            assert self._transport is not None
            # What it has said is read first. A process that it has forked may keep its end open.
            self._ending = self._loop.call_later(_REST_S, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """See the process off: its end of the channel closes when it ends."""
        self.ready = False
        self._closed = True
        self._owner.lost(self)
        if self._exited:
            self._end()
        else:
            self._ending = self._loop.call_later(_REAP_S, self.kill)

    def _end(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        # What a worker left undone when it ended as it was told, it has answered for itself: the
        # request had outlived its timeout.
        told = self.retiring and self.process.returncode == 0
        kind, body = (Kind.DONE, short(b"")) if told else (Kind.LOST, _DIED.encode())
        jobs, self.jobs = self.jobs, {}
        for job in jobs.values():
            job.answer(kind, body)
        self.gone.set()
        self._owner.ended(self)

    def take_start(self, kind: int, body: bytes) -> None:
        """Note that it is ready, or why it cannot start."""
        said = json.loads(body)
        self.files = said["files"]
        self.error = said.get("error")
        self.ready = self.was_ready = kind == Kind.READY

    def take_state(self, body: bytes) -> None:
        """Note how it says it is."""
        if body in (b"full", b"free"):
            self.full = body == b"full"
        else:
            state = json.loads(body)
            self.busy, self.zombies = state["busy"], state["zombies"]

    @property
    def exit(self) -> str:
        """How the process ended, for people."""
        code = self.process.returncode
        if code is not None and code < 0:
            return signal.Signals(-code).name
        return f"exit code {code}"
