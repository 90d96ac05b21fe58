"""Everything over plain HTTP: health, the management API, the console."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from streamer_core.app import Streamer
from streamer_core.model.health import report
from streamer_plugin_local.console import Console
from streamer_plugin_local.hub import Hub
from streamer_plugin_local.management import Management
from streamer_plugin_local.origin import Guard
from streamer_plugin_local.secret import Secret
from streamer_plugin_local.supervisor import Supervisor

_logger = logging.getLogger("streamer_plugin_local.http")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _own_failures() -> logging.Logger:
    """Give a logger without what clients do wrong: their bytes are not for our log."""

    def ours(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)

    _logger.filters = [ours]
    return _logger


class Web:
    """aiohttp's side of the port.

    Args:
        app: the gateway's own application, without handlers.
        hub, supervisor: what is shown.
        guard: checks `Host`.
        secret: opens what is not for everybody.
    """

    def __init__(
        self, app: Streamer, hub: Hub, supervisor: Supervisor, guard: Guard, secret: Secret
    ) -> None:
        self._app = app
        self._guard = guard
        self._secret = secret
        self._site = web.Application(
            middlewares=[self._check_host], client_max_size=hub.settings.max_message_bytes
        )
        self._site.add_routes([web.get("/health", self._health)])
        self._site.add_routes(Management(hub, secret).routes())
        self._site.add_routes(Console(app, hub, supervisor, guard, secret).routes())
        # No access log: it would hold the console's secret.
        self._runner = web.AppRunner(
            self._site, access_log=None, handle_signals=False, logger=_own_failures()
        )

    async def start(self) -> None:
        """Make ready to serve."""
        await self._runner.setup()

    async def stop(self) -> None:
        """Close what is open."""
        await self._runner.cleanup()

    def protocol(self) -> asyncio.Protocol:
        """Make the protocol of one connection."""
        server = self._runner.server
        assert server is not None
        return server()

    @web.middleware
    async def _check_host(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if problem := self._guard.host_problem(request.headers.get("Host")):
            return web.json_response({"code": "FORBIDDEN", "message": problem}, status=403)
        return await handler(request)

    async def _health(self, request: web.Request) -> web.Response:
        """Tell anybody whether to send clients here; what is wrong, to who knows the secret."""
        checks = await asyncio.to_thread(self._app.health)
        details = self._secret.signed(request.headers.get("Authorization"))
        body = report(checks, details=details)
        return web.json_response(body, status=503 if body["status"] == "dead" else 200)
