"""The `[plugins.local]` section. Durations are written `"200ms"`, `"10m"`, or in seconds.

Where API Gateway has a quota, the default is that quota (API Gateway developer guide, "Quotas for
WebSocket APIs"); tests make them smaller.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from streamer_core.settings import Ms


class DevPrincipal(BaseModel):
    """Who everybody is while no authenticator plugin is installed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str = "developer"
    tenant: str = "default"
    scopes: tuple[str, ...] = ()


class Faults(BaseModel):
    """Misbehaviour on purpose, for tests; all off by default.

    Args:
        drop_disconnect: the worker never hears that a client left (AWS promises best effort only).
        answer: what a post to a connection gets instead of being sent: 410 gone, 429 busy.
        answer_every: the answer is given to each n-th post only.
        feed_delay, feed_duplicate, feed_reorder: what happens to records of the change feed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    drop_disconnect: bool = False
    answer: Literal[None, 410, 429] = None
    answer_every: int = Field(default=1, ge=1)
    feed_delay: Ms = 0
    feed_duplicate: bool = False
    feed_reorder: bool = False


class LocalSettings(BaseModel):
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

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_lambda: bool = False
    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65535)
    stage: str = Field(default="dev", pattern=r"^[A-Za-z0-9_-]{1,128}$")
    sync_workers: int = Field(default=2, ge=1)
    async_workers: int = Field(default=2, ge=1)
    async_concurrency: int = Field(default=64, ge=1)
    isolation: Literal["thread", "process"] = "thread"
    worker_memory_mb: int | None = Field(default=None, ge=64)
    stall_timeout: Ms = Field(default=60_000, gt=0)
    max_frame_bytes: int = Field(default=32 * 1024, ge=128)
    max_message_bytes: int = Field(default=128 * 1024, ge=128)
    idle_timeout: Ms = Field(default=600_000, gt=0)
    connects_per_s: int = Field(default=500, ge=1)
    send_buffer_bytes: int = Field(default=256 * 1024, ge=1024)
    slow_timeout: Ms = Field(default=30_000, gt=0)
    pending_per_connection: int = Field(default=256, ge=1)
    pending_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    drain_timeout: Ms = Field(default=10_000, gt=0)
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    reload: bool = True
    sweep_interval: Ms = Field(default=60_000, gt=0)
    principal: DevPrincipal = DevPrincipal()
    faults: Faults = Faults()

    @property
    def slots(self) -> int:
        """How many queued requests one async worker runs at once."""
        if self.isolation == "process":
            return 1
        return -(-self.async_concurrency // self.async_workers)
