"""One AWS X-Ray trace for each request, by the X-Ray SDK: its message, every attempt, every push.

Nothing of the SDK is imported before it is known that there is a daemon to send to.
"""

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from random import Random
from typing import TYPE_CHECKING, Any

from streamer_core.errors import ConfigurationError
from streamer_core.plugin import (
    Call,
    Connection,
    Delivery,
    Health,
    Manifest,
    Message,
    Push,
    Request,
    Status,
    hookimpl,
    record,
)
from streamer_plugin_xray.address import is_address
from streamer_plugin_xray.off import Off

if TYPE_CHECKING:
    from streamer_plugin_xray.host import Host
    from streamer_plugin_xray.tracing import Tracing

__all__ = ["XRayPlugin"]

_LONGEST_NAME = 200
"""X-Ray developer guide, "X-Ray segment documents", `name`."""
_LEFT_OUT = frozenset("?;*()!$~^<>")
"""By the SDK, which then has no name, or another."""


class XRayPlugin:
    """Makes segments, on Lambda subsegments; off where nothing says where the daemon is."""

    @record
    class Settings:
        """`[plugins.xray]`.

        Args:
            daemon: the X-Ray daemon's address, `127.0.0.1:2000`; AWS_XRAY_DAEMON_ADDRESS, which
                Lambda sets, is stronger.
            service: the name of the segments.
            ratio: the share of the traces that are kept, 0 to 1, where neither the client nor
                Lambda has decided.
        """

        daemon: str | None = None
        service: str = "streamer"
        ratio: float = 1.0

        def __post_init__(self) -> None:
            if self.daemon is not None and not self.daemon.strip():
                raise ValueError("daemon: must be an address; leave it out to be off elsewhere")
            if not 0 <= self.ratio <= 1:
                raise ValueError("ratio: must be from 0 to 1")
            if not _is_name(self.service):
                raise ValueError(
                    "service: must have 1 to 200 characters, more than spaces, none of them of "
                    "control, nor of ? ; * ( ) ! $ ~ ^ < >"
                )

    manifest = Manifest()

    def __init__(self, settings: Settings, app: Any) -> None:
        self.settings = settings
        self._app = app
        self._tracing: Tracing | Off = Off()
        self._host: Host | None = None

    @hookimpl
    def streamer_startup(self) -> None:
        """Begin, where there is a daemon; else step aside, and cost no message anything."""
        daemon = os.environ.get("AWS_XRAY_DAEMON_ADDRESS") or self.settings.daemon
        enabled = os.environ.get("AWS_XRAY_SDK_ENABLED", "true").strip().lower()
        if not daemon or enabled == "false":
            self._app.hooks.unregister(self)
            return
        if not is_address(daemon):
            raise ConfigurationError(
                f"[plugins.xray] daemon, or AWS_XRAY_DAEMON_ADDRESS, is {daemon!r}; "
                f"try: 127.0.0.1:2000"
            )
        from streamer_plugin_xray.recorder import opened  # noqa: PLC0415
        from streamer_plugin_xray.tracing import Tracing  # noqa: PLC0415

        recorder = opened(daemon, self._app.clock.monotonic)
        self._host = getattr(recorder.emitter, "host", None)
        # The clock's own source is the system's: to ask that takes as long as half a message.
        decide = Random(self._app.clock.random()).random  # noqa: S311
        self._tracing = Tracing(recorder, self.settings.service, self.settings.ratio, decide)

    @hookimpl
    def streamer_around_message(
        self, request: Message, connection: Connection
    ) -> AbstractContextManager[None] | None:
        """Trace the taking of a message."""
        return self._tracing.receiving(request, connection.principal.tenant)

    @hookimpl(trylast=True)  # of two that give W3C's context the other's counts: this has its own
    def streamer_metadata(self, request: Request) -> Mapping[str, str]:
        """Give the trace header that every later process goes on from."""
        return self._tracing.header_for(request)

    @hookimpl
    def streamer_around_call(self, call: Call) -> AbstractContextManager[None] | None:
        """Trace an attempt; what its handler traces is under it."""
        return self._tracing.running(call)

    @hookimpl(wrapper=True)
    def streamer_deliver(
        self, pushes: Sequence[Push]
    ) -> Generator[None, Sequence[Mapping[str, Delivery]], Sequence[Mapping[str, Delivery]]]:
        """Trace pushes, under the attempt that made them."""
        with self._tracing.pushing(pushes):
            return (yield)

    @hookimpl
    def streamer_on_transition(
        self, request: Request, before: Status | None, after: Status
    ) -> None:
        """Let go of an attempt that is over; end it where its handler has not returned."""
        if before is Status.PROCESSING:
            self._tracing.left(request, after)

    @hookimpl
    def streamer_health(self) -> Health | None:
        """Say whether the daemon is found; nothing where the application sends by itself.

        Whether it takes what is sent, nobody knows: that is UDP.
        """
        if self._host is None:
            return None
        is_found = self._host.number() is not None
        detail = "segments are sent" if is_found else "the daemon's host is not found"
        return Health(name="xray", ok=True, degraded=not is_found, detail=detail)


def _is_name(text: str) -> bool:
    is_long_enough = text.strip() != "" and len(text) <= _LONGEST_NAME
    return is_long_enough and text.isprintable() and _LEFT_OUT.isdisjoint(text)
