"""API Gateway's management API, so that boto3's `apigatewaymanagementapi` client works here.

Shapes: API Gateway Management API reference, operations PostToConnection, GetConnection and
DeleteConnection, API version 2018-11-29.
"""

from datetime import UTC, datetime

from aiohttp import web

from streamer_core.ports import Delivery
from streamer_plugin_local.hub import Hub
from streamer_plugin_local.secret import Secret

_ERRORS = {
    Delivery.GONE: (410, "GoneException", "The connection is gone"),
    Delivery.BUSY: (429, "LimitExceededException", "The client has too much to read already"),
    Delivery.TOO_LARGE: (413, "PayloadTooLargeException", "The message is too large"),
}


class Management:
    """`/@connections/{id}`, with and without the stage before it.

    Args:
        hub: the connections.
        secret: must be the access key id of whoever asks.
    """

    def __init__(self, hub: Hub, secret: Secret) -> None:
        self._hub = hub
        self._secret = secret

    def routes(self) -> list[web.RouteDef]:
        """Give the routes."""
        stage = self._hub.settings.stage
        paths = ("/@connections/{id}", f"/{stage}/@connections/{{id}}")
        methods = (("POST", self._post), ("GET", self._get), ("DELETE", self._delete))
        return [web.route(method, path, handler) for path in paths for method, handler in methods]

    async def _post(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        data = bytearray()
        async for part in request.content.iter_any():
            data += part
            if len(data) > self._hub.settings.max_message_bytes:
                return _error(Delivery.TOO_LARGE)
        verdict = self._hub.post(request.match_info["id"], bytes(data))
        return web.Response() if verdict is Delivery.DELIVERED else _error(verdict)

    async def _get(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        client = self._hub.clients.get(request.match_info["id"])
        if client is None:
            return _error(Delivery.GONE)
        record = client.record()
        idle_ms = (self._hub.loop.time() - client.active_at) * 1000
        now_ms = datetime.now(UTC).timestamp() * 1000
        return web.json_response(
            {
                "connectedAt": _iso(record["connected_at"]),
                "identity": {"sourceIp": record["address"], "userAgent": client.agent},
                "lastActiveAt": _iso(now_ms - idle_ms),
            }
        )

    async def _delete(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        # Closed as API Gateway closes: without a code of its own, 1000.
        if not self._hub.close(request.match_info["id"], 1000, ""):
            return _error(Delivery.GONE)
        return web.Response(status=204)

    def _refused(self, request: web.Request) -> web.Response | None:
        if self._secret.signed(request.headers.get("Authorization")):
            return None
        sentence = "The access key id must be the secret that was printed at the start"
        return _answer(403, "ForbiddenException", sentence)


def _error(verdict: Delivery) -> web.Response:
    return _answer(*_ERRORS[verdict])


def _answer(status: int, kind: str, sentence: str) -> web.Response:
    return web.json_response(
        {"message": sentence}, status=status, headers={"x-amzn-ErrorType": kind}
    )


def _iso(unix_ms: float) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds")
