"""The `[plugins.local]` section. Durations are written `"200ms"`, `"10m"`, or in seconds.

Where API Gateway has a quota, the default is that quota (API Gateway developer guide, "Quotas for
WebSocket APIs"); tests make them smaller.
"""

import re
from typing import Literal

from streamer_core.records import record
from streamer_core.sections import Ms

_STAGE = re.compile(r"[A-Za-z0-9_-]{1,128}")
_LEAST = {
    "port": 0,
    "sync_workers": 1,
    "async_workers": 1,
    "async_concurrency": 1,
    "worker_memory_mb": 64,
    "stall_timeout": 1,
    "max_frame_bytes": 128,
    "max_message_bytes": 128,
    "idle_timeout": 1,
    "connects_per_s": 1,
    "send_buffer_bytes": 1024,
    "slow_timeout": 1,
    "pending_per_connection": 1,
    "pending_bytes": 1024,
    "drain_timeout": 1,
    "sweep_interval": 1,
}
_MOST_PORT = 65_535


@record
class DevPrincipal:
    """Who everybody is while no authenticator plugin is installed."""

    user: str = "developer"
    tenant: str = "default"
    scopes: tuple[str, ...] = ()


@record
class Faults:
    """Misbehaviour on purpose, for tests; all off by default.

    Args:
        drop_disconnect: the worker never hears that a client left (AWS promises best effort only).
        answer: what a post to a connection gets instead of being sent: 410 gone, 429 busy.
        answer_every: the answer is given to each n-th post only.
        feed_delay, feed_duplicate, feed_reorder: what happens to records of the change feed.
    """

    drop_disconnect: bool = False
    answer: Literal[None, 410, 429] = None
    answer_every: int = 1
    feed_delay: Ms = 0
    feed_duplicate: bool = False
    feed_reorder: bool = False

    def __post_init__(self) -> None:
        if self.answer_every < 1:
            raise ValueError("answer_every: must be 1 or more")


@record
class LocalSettings:
    """How the local gateway listens, works and limits.

    Args:
        as_lambda: raise API Gateway's events on the Lambda entries instead of calling the
            application.
        host, port: where it listens; port 0 takes a free one.
        stage: the API is served at `/` and at `/<stage>`, as behind API Gateway.
        sync_workers: processes that answer messages.
        async_workers, async_concurrency: processes that run queued requests, and how many run at
            once over all of them.
        isolation: with `process` each worker process runs one queued request at a time, so
            `async_workers` is how many run at once.
        worker_memory_mb: a worker's address space (RLIMIT_AS); one that needs more fails alone.
        stall_timeout: a worker process that shows no sign of life for this long is killed.
        max_frame_bytes, max_message_bytes, idle_timeout: API Gateway's; its limit on a connection's
            life is the core's setting `connection_life`.
        connects_per_s: new connections a second, and as many at once (API Gateway: 500 a region).
        send_buffer_bytes: how much may wait for a slow client before it is busy; it is no longer
            read from then, and closed at four times as much, or after `slow_timeout`.
        pending_per_connection: messages of one client under way at once; more are not read.
        pending_bytes: of all messages waiting for a worker.
        drain_timeout: how long running work may take to end once the gateway is told to stop.
        allowed_hosts: names it answers to besides the loopback ones and `host`.
        allowed_origins: pages that may connect besides those of the same host.
        reload: start new workers when a source file changes.
        sweep_interval: how often lapsed, forgotten and unsent work is looked for.
    """

    as_lambda: bool = False
    host: str = "127.0.0.1"
    port: int = 8765
    stage: str = "dev"
    sync_workers: int = 2
    async_workers: int = 2
    async_concurrency: int = 64
    isolation: Literal["thread", "process"] = "thread"
    worker_memory_mb: int | None = None
    stall_timeout: Ms = 60_000
    max_frame_bytes: int = 32 * 1024
    max_message_bytes: int = 128 * 1024
    idle_timeout: Ms = 600_000
    connects_per_s: int = 500
    send_buffer_bytes: int = 256 * 1024
    slow_timeout: Ms = 30_000
    pending_per_connection: int = 256
    pending_bytes: int = 64 * 1024 * 1024
    drain_timeout: Ms = 10_000
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    reload: bool = True
    sweep_interval: Ms = 60_000
    principal: DevPrincipal = DevPrincipal()
    faults: Faults = Faults()

    def __post_init__(self) -> None:
        if not _STAGE.fullmatch(self.stage):
            raise ValueError("stage: must have 1 to 128 characters of A-Z a-z 0-9 _ -")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}: must be {least} or more")
        if self.port > _MOST_PORT:
            raise ValueError(f"port: must be {_MOST_PORT} or less")

    @property
    def slots(self) -> int:
        """How many queued requests one async worker runs at once."""
        if self.isolation == "process":
            return 1
        return -(-self.async_concurrency // self.async_workers)
