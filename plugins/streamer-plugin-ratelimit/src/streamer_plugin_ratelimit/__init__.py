"""Limits on how fast clients may connect and send, shared by all workers through the store."""

from typing import Any

from streamer_core.markers import hookimpl
from streamer_core.model.call import Health
from streamer_core.model.connection import Connection
from streamer_core.model.manifest import Manifest
from streamer_core.model.message import Message
from streamer_core.model.principal import Principal
from streamer_plugin_ratelimit.book import Book
from streamer_plugin_ratelimit.limiter import Limiter
from streamer_plugin_ratelimit.settings import RateLimitSettings

__all__ = ["RateLimitPlugin"]


class RateLimitPlugin:
    """Refuses what is over a limit of the settings; without limits it refuses nothing."""

    Settings = RateLimitSettings

    manifest = Manifest()

    def __init__(self, settings: RateLimitSettings, app: Any) -> None:
        self._app = app
        self._book = Book(settings, app.settings.core)
        self._limiter = Limiter(settings, app)

    @hookimpl
    def streamer_startup(self, app: Any) -> None:
        """See that the limits are about actions that there are."""
        self._book.check(one.spec.action for one in app.registry)

    @hookimpl
    def streamer_limit(
        self, principal: Principal, connection: Connection, request: Message | None
    ) -> None:
        """Refuse a connection, or a message, that is over one of its limits."""
        action = None if request is None else request.action
        limits = self._book.limits_of(principal, action)
        if limits:
            self._limiter.check(limits, principal, connection, action)

    @hookimpl
    def streamer_health(self) -> Health | None:
        """Say whether what comes is counted; nothing where there is no limit."""
        return self._limiter.health() if self._book.limits else None

    @hookimpl
    def streamer_register_commands(self, cli: Any) -> None:
        """Add `streamer ratelimit`."""
        from streamer_plugin_ratelimit.command import ratelimit  # noqa: PLC0415 - click is an extra

        cli.add_command(ratelimit(self._book.limits, self._app.settings))
