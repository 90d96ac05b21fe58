"""A worker that raises API Gateway's events on the Lambda entries, instead of calling the app.

The events have the shape that API Gateway's developer guide shows for WebSocket APIs.
"""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from streamer_core.app import Streamer
from streamer_core.engine.submit import Storing
from streamer_core.errors import ConfigurationError
from streamer_core.hooks import collect
from streamer_core.model.codec import connection_to_plain
from streamer_plugin_local.records import Kind, encode, encode_done, encode_json, split_short
from streamer_plugin_local.sync_worker import SyncWorker

HOOK = "streamer_lambda_entries"

Entry = Callable[[Mapping[str, Any], Any], Any]


class LambdaWorker(SyncWorker):
    """Answers as API Gateway would, with what the entries answer.

    Raises:
        ConfigurationError: no plugin brings the entries, or several do.
    """

    def __init__(self, app: Streamer, *args: Any, stage: str) -> None:
        super().__init__(app, *args)
        self._entries = entries_of(app)
        self._stage = stage

    def _connect(self, number: int, body: bytes) -> bytes:
        asked = json.loads(body)
        answer = self._entries["connect"](connecting(asked, self._stage), None)
        if answer["statusCode"] == 200:
            connection = self.app.store.get_connection(asked["connection_id"])
            if connection is not None:
                record = connection_to_plain(connection)
                # API Gateway knows no tokens: it is the router, or the sweeper, that ends a
                # connection with its token. Nor does it learn of one that was renewed.
                life = self.app.settings.core.connection_life
                record["expires_at"] = connection.connected_at + life
                return encode_json(Kind.ACCEPTED, number, record)
        said = json.loads(answer.get("body") or "{}")
        wait_s = answer.get("headers", {}).get("Retry-After")
        refusal = {
            "status": answer["statusCode"],
            "code": said.get("code", "FORBIDDEN"),
            "message": said.get("message", "Forbidden"),
            "retry_after_ms": int(wait_s) * 1000 if wait_s else None,
        }
        return encode_json(Kind.REFUSED, number, refusal)

    def _receive(self, number: int, body: bytes) -> bytes | tuple[int, Storing]:
        self.crew.pass_on()  # an entry reads the store, and may write it
        plain, data = split_short(body)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return super()._receive(number, body)  # an event cannot hold it; the app refuses it
        event = message(json.loads(plain)["id"], text, self._stage)
        answer = self._entries["router"](event, None)
        frames = [answer["body"].encode()] if answer.get("body") else []
        return encode_done(number, frames)

    def _leave(self, number: int, body: bytes) -> bytes:
        asked = json.loads(body)
        event = disconnecting(asked["connection_id"], asked.get("reason", ""), self._stage)
        self._entries["disconnect"](event, None)
        return encode(Kind.DONE, number)


def entries_of(app: Streamer) -> Mapping[str, Entry]:
    """Ask the plugins for the entries."""

    def stop(plugin: str, error: Exception) -> None:
        raise ConfigurationError(f"plugin {plugin!r}: {HOOK}: {error}") from error

    brought = collect(app.hooks, HOOK, on_error=stop, app=app)
    if len(brought) != 1:
        whose = " and ".join(repr(plugin) for plugin, _ in brought) or "no plugin"
        raise ConfigurationError(
            f"streamer dev --lambda: {whose} brings Lambda entries; "
            f"install one that does, such as streamer-plugin-apigateway"
        )
    entries: Mapping[str, Entry] = brought[0][1]
    return entries


def connecting(asked: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """Give the event of `$connect` for a handshake."""
    headers = {name.title(): value for name, value in asked["headers"].items()}
    event = {
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "requestContext": _context(
            "CONNECT", "$connect", asked["connection_id"], stage, address=asked["address"]
        ),
        "isBase64Encoded": False,
    }
    if asked["query"]:
        event["queryStringParameters"] = asked["query"]
        event["multiValueQueryStringParameters"] = {
            name: [value] for name, value in asked["query"].items()
        }
    return event


def disconnecting(connection_id: str, reason: str, stage: str) -> dict[str, Any]:
    """Give the event of `$disconnect`."""
    return {
        "headers": {"Host": "localhost"},
        "multiValueHeaders": {"Host": ["localhost"]},
        "requestContext": _context(
            *("DISCONNECT", "$disconnect", connection_id, stage),
            disconnectStatusCode=1000,
            disconnectReason=reason,
        ),
        "isBase64Encoded": False,
    }


def message(connection_id: str, body: str, stage: str) -> dict[str, Any]:
    """Give the event of `$default` for a message."""
    return {
        "requestContext": _context(
            "MESSAGE", "$default", connection_id, stage, messageId=uuid.uuid4().hex
        ),
        "body": body,
        "isBase64Encoded": False,
    }


def _context(
    event_type: str,
    route: str,
    connection_id: str,
    stage: str,
    *,
    address: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    now = time.time()
    request_id = uuid.uuid4().hex
    return {
        "routeKey": route,
        "eventType": event_type,
        "extendedRequestId": request_id,
        "requestTime": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "messageDirection": "IN",
        "stage": stage,
        "connectedAt": int(now * 1000),
        "requestTimeEpoch": int(now * 1000),
        "identity": {"userAgent": "", "sourceIp": address or "127.0.0.1"},
        "requestId": request_id,
        "domainName": "localhost",
        "connectionId": connection_id,
        "apiId": "local",
        **more,
    }
