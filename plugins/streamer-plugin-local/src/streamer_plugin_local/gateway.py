"""The gateway process: sockets, worker processes, scheduler and feed, put together."""

import asyncio
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamer_core.app import Streamer
from streamer_core.errors import ConfigurationError
from streamer_core.model.connection import GOING_AWAY
from streamer_core.settings import Settings
from streamer_plugin_local.feed import FeedReader
from streamer_plugin_local.front import Door, Front
from streamer_plugin_local.hub import Hub
from streamer_plugin_local.identity import check_identity
from streamer_plugin_local.jobs import Jobs
from streamer_plugin_local.link import Link, attach
from streamer_plugin_local.origin import Guard
from streamer_plugin_local.relay import Relay
from streamer_plugin_local.reload import Watcher
from streamer_plugin_local.scheduler import Scheduler
from streamer_plugin_local.secret import Secret
from streamer_plugin_local.service import Service
from streamer_plugin_local.settings import LocalSettings
from streamer_plugin_local.supervisor import Supervisor
from streamer_plugin_local.sync_worker import THREADS
from streamer_plugin_local.transport import HubTransport
from streamer_plugin_local.web import Web

_BACKLOG = 1024
_LEAVE_S = 2.0
_LOOK_S = 0.01
_MEASURE_S = 5.0
_RECONNECT_MS = 1000


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What a start has to tell.

    Args:
        url, console: where clients and the developer go; the console's address holds the secret.
        secret: opens the management API.
        port: as bound.
        workers: process ids.
        development: whether everybody is the development principal.
    """

    url: str
    console: str
    secret: str
    port: int
    workers: list[int]
    development: bool


class Gateway:
    """One run of the gateway.

    Args:
        settings: all settings, with what the command line said.
        local: the plugin's own, checked.
        overrides: what the command line said about them; workers are told.
        config: the settings' file, as the command line named it.
    """

    def __init__(
        self,
        settings: Settings,
        local: LocalSettings,
        *,
        overrides: dict[str, Any],
        config: str | None,
    ) -> None:
        self._settings = settings
        self._local = local
        self._given = {"config": config, "overrides": overrides, "root": str(settings.root)}
        self._secret = Secret()
        self._ending = asyncio.Event()

    async def run(self, ready: Callable[[Ready], None]) -> None:
        """Serve until told to stop; then drain.

        Raises:
            ConfigurationError: a setting, a plugin or a handler module is wrong.
        """
        self._build()
        try:
            self._catch_signals()
            if not await self._started():
                return
            await self._relay.start()
            server = await self._listen()
            self._begin()
            ready(self._ready(server))
            await self._ending.wait()
            self._hub.draining = True
            await self._drain()
            server.close()
        finally:
            await self._end()

    # -- beginning

    def _build(self) -> None:
        local = self._local
        raise_open_files()
        sys.setswitchinterval(0.0005)  # the feed's thread must not hold up the loop's
        self._jobs = Jobs(THREADS)
        self._hub = Hub(local, self._jobs)
        self._app = Streamer.start(
            self._settings, transport=HubTransport(self._hub), load_handlers=False
        )
        self._guard = Guard(local)
        self._scheduler = Scheduler(local.sweep_interval / 1000)
        self._development = check_identity(self._app, local)
        serve = Service(self._hub).serve
        self._supervisor = Supervisor(local, self._given, self._jobs, self._scheduler, serve)
        life = self._settings.core.connection_life
        self._relay = self._hub.relay = Relay(self._hub.name, self._app.store, life, serve)
        attach(
            self._app,
            Link(wake=self._scheduler.due_threadsafe, health=self._supervisor.health),
        )
        self._web = Web(self._app, self._hub, self._supervisor, self._guard, self._secret)
        self._feed = FeedReader(self._app.store, self._app.wake, local.faults)
        self._watching: asyncio.Task[None] | None = None
        self._measuring: asyncio.TimerHandle | None = None

    async def _listen(self) -> asyncio.Server:
        await self._web.start()
        door = Door(
            self._hub,
            self._jobs,
            self._guard,
            allow_query_token=self._settings.core.allow_query_token,
            http=self._web.protocol,
        )
        try:
            return await asyncio.get_running_loop().create_server(
                lambda: Front(door), self._local.host, self._local.port, backlog=_BACKLOG
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {self._local.host}:{self._local.port}: {error.strerror}; "
                f"choose another with --port, or 0 for a free one"
            ) from None

    async def _started(self) -> bool:
        """Start the workers; False where it is to stop meanwhile."""
        starting = asyncio.ensure_future(self._supervisor.start())
        ending = asyncio.ensure_future(self._ending.wait())
        await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            starting.cancel()
            await asyncio.wait({starting})
            return False
        ending.cancel()
        await starting
        return True

    def _begin(self) -> None:
        self._hub.start()
        self._feed.start()
        self._scheduler.start()
        self._measure()
        if self._local.reload:
            self._watching = asyncio.create_task(Watcher(self._files, self._reload).run())

    def _measure(self) -> None:
        """Tell how many connections are open: who holds the sockets knows, and nobody else."""
        self._app.runtime.measure("connection.open", self._hub.sockets, "gauge")
        loop = asyncio.get_running_loop()
        self._measuring = loop.call_later(_MEASURE_S, self._measure)

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)

    def _stop(self) -> None:
        if self._ending.is_set():
            for worker in self._supervisor.workers:
                worker.kill()
            os._exit(1)
        self._ending.set()

    def _ready(self, server: asyncio.Server) -> Ready:
        port = server.sockets[0].getsockname()[1]
        host = f"[{self._local.host}]" if ":" in self._local.host else self._local.host
        return Ready(
            url=f"ws://{host}:{port}/{self._local.stage}",
            console=f"http://{host}:{port}/console?secret={self._secret.text}",
            secret=self._secret.text,
            port=port,
            workers=[worker.pid for worker in self._supervisor.workers],
            development=self._development,
        )

    # -- meanwhile

    def _files(self) -> set[str]:
        source = self._settings.source
        return self._supervisor.files | ({str(source)} if source else set())

    async def _reload(self, names: list[str]) -> None:
        say(f"streamer: {', '.join(Path(name).name for name in names)} changed")
        problem = await self._supervisor.reload()
        say(f"streamer: {problem or 'new workers are ready'}")

    # -- ending

    async def _drain(self) -> None:
        """Take no more work, let what runs end, then say goodbye for good."""
        drain_s = self._local.drain_timeout / 1000
        # The reader may be sending, which is done here: it is not waited for on the event loop.
        await asyncio.to_thread(self._feed.stop)
        self._scheduler.stop()
        self._hub.dismiss_all(_RECONNECT_MS)
        if self._watching is not None:
            self._watching.cancel()
        await asyncio.gather(
            self._supervisor.drain("async", drain_s), self._quiet(self._unanswered, drain_s)
        )
        self._hub.close_all(GOING_AWAY, "drain")
        await self._quiet(lambda: self._hub.leaving + self._hub.sockets, _LEAVE_S)

    def _unanswered(self) -> int:
        """Count messages: those that wait, and those under way, also in workers that are to end."""
        return len(self._jobs) + sum(len(worker.jobs) for worker in self._supervisor.workers)

    async def _quiet(self, left: Callable[[], int], timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while left() and loop.time() < deadline:  # noqa: ASYNC110 - a few looks at each end
            await asyncio.sleep(_LOOK_S)

    async def _end(self) -> None:
        await self._supervisor.stop(_LEAVE_S)
        self._jobs.give_up("The server is about to stop")
        self._scheduler.stop()
        if self._measuring is not None:
            self._measuring.cancel()
        self._hub.stop()
        await self._relay.stop()
        await self._web.stop()
        self._app.close()


def raise_open_files() -> None:
    """Let this process have as many sockets as it may: the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def say(sentence: str) -> None:
    """Tell the developer."""
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201


def write_ready(ready: Ready, fd: int) -> None:
    """Tell a program that started this one, as one line of JSON."""
    with os.fdopen(fd, "w") as stream:
        stream.write(json.dumps({**vars(ready), "pid": os.getpid()}) + "\n")
