"""Reading what a client shows in its HTTP request, and refusing it."""

import json
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from streamer_core.model.connection import SUBPROTOCOL, token_in

_UPGRADE = re.compile(rb"\r\nupgrade:[ \t]*websocket[ \t]*\r\n", re.IGNORECASE)
_FIELDS = 100


class Acceptor(ServerProtocol):
    """A WebSocket's protocol that selects our subprotocol, and none where it is not offered."""

    def select_subprotocol(self, subprotocols: Sequence[Subprotocol]) -> Subprotocol | None:
        """Select `streamer.v1`; a client that offers others only is let in without one."""
        return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in subprotocols else None


def wants_websocket(head: bytes | bytearray) -> bool:
    """Tell whether a request's head asks for the WebSocket protocol."""
    return _UPGRADE.search(head) is not None


def acceptor(max_frame_bytes: int, logger: Any) -> Acceptor:
    """Make the protocol of a new connection; without compression."""
    return Acceptor(max_size=(None, max_frame_bytes), logger=logger, state=State.CONNECTING)


def host_of(request: Request) -> str | None:
    """Give the `Host` header.

    Raises:
        ValueError: there are two (RFC 9112, 3.2: answered with 400).
    """
    hosts = request.headers.get_all("Host")
    if len(hosts) > 1:
        raise ValueError("two hosts")
    return hosts[0] if hosts else None


def describe(
    request: Request, *, connection_id: str, address: str | None, allow_query_token: bool
) -> dict[str, Any]:
    """Give the fields of the core's `Handshake`; they go to a worker as JSON.

    Raises:
        ValueError: the address cannot be read, or its query has more than a hundred fields.
    """
    headers: dict[str, str] = {}
    for name, value in request.headers.raw_items():
        lowered = name.lower()
        headers[lowered] = f"{headers[lowered]}, {value}" if lowered in headers else value
    query: dict[str, str] = {}
    for name, value in parse_qsl(urlsplit(request.path).query, max_num_fields=_FIELDS):
        query.setdefault(name, value)
    return {
        "connection_id": connection_id,
        "token": token_in(headers, query, allow_query=allow_query_token),
        "headers": headers,
        "query": query,
        "address": address,
    }


def refusal(status: int, code: str, message: str, *, retry_after_ms: int | None = None) -> bytes:
    """Encode the HTTP answer to a handshake that is refused."""
    body = json.dumps({"code": code, "message": message}).encode()
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if retry_after_ms is not None:
        lines.append(f"Retry-After: {max(1, -(-retry_after_ms // 1000))}")
    return "\r\n".join([*lines, "", ""]).encode() + body
