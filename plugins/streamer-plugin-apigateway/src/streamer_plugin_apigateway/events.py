"""API Gateway's WebSocket events: what is read of them, and what is answered.

Their shapes are those of its documentation, "Working with WebSocket APIs" and "Set up a WebSocket
API authorizer and integration": the tests have its samples.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from streamer_core.errors import Refused
from streamer_core.model.connection import SUBPROTOCOL, Handshake, token_in

Event = Mapping[str, Any]
Answer = dict[str, Any]

OK: Answer = {"statusCode": 200}


def connection_id_of(event: Event) -> str:
    """Give the id of the connection that an event is about."""
    return str(event["requestContext"]["connectionId"])


def handshake_of(event: Event, *, allow_query_token: bool) -> Handshake:
    """Read a `$connect` event."""
    headers = {name.lower(): str(value) for name, value in (event.get("headers") or {}).items()}
    for name, values in (event.get("multiValueHeaders") or {}).items():
        headers[name.lower()] = ", ".join(map(str, values))
    query = {name: str(value) for name, value in (event.get("queryStringParameters") or {}).items()}
    return Handshake(
        connection_id=connection_id_of(event),
        token=token_in(headers, query, allow_query=allow_query_token),
        headers=headers,
        query=query,
        address=event["requestContext"].get("identity", {}).get("sourceIp"),
    )


def message_of(event: Event) -> bytes:
    """Read the message of a `$default` event."""
    body = event.get("body") or ""
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()


def reason_of(event: Event) -> str:
    """Read why a connection ended, of a `$disconnect` event."""
    return str(event["requestContext"].get("disconnectReason") or "closed")


def accepted(handshake: Handshake) -> Answer:
    """Let a client in; a subprotocol is selected where ours was offered."""
    offered = handshake.headers.get("sec-websocket-protocol", "").split(",")
    if SUBPROTOCOL not in (one.strip() for one in offered):
        return OK
    return {**OK, "headers": {"Sec-WebSocket-Protocol": SUBPROTOCOL}}


def refused(error: Refused) -> Answer:
    """Refuse a client. API Gateway passes on the status alone; the rest is for its logs."""
    headers = {"Content-Type": "application/json"}
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(max(1, -(-error.retry_after_ms // 1000)))
    body = json.dumps({"code": error.code, "message": error.message})
    return {"statusCode": error.http_status, "headers": headers, "body": body}


def told(frame: bytes) -> Answer:
    """Answer a message with one frame, which API Gateway sends on the same connection."""
    return {**OK, "body": frame.decode()}
