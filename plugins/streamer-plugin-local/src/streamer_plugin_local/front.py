"""The first bytes of a TCP connection: a WebSocket for us, or HTTP for aiohttp."""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from websockets.http11 import Request, Response

from streamer_core.ports import Clock, SystemClock
from streamer_plugin_local import handshake
from streamer_plugin_local.bucket import Bucket
from streamer_plugin_local.client import Client
from streamer_plugin_local.hub import Hub
from streamer_plugin_local.jobs import Job, Jobs
from streamer_plugin_local.origin import Guard
from streamer_plugin_local.records import Kind

HEAD_BYTES = 16 * 1024
HEAD_S = 10.0
_DRAIN_RETRY_MS = 1000

# It would log tokens: frames and headers at its debug level.
_logger = logging.getLogger("streamer_plugin_local.websocket")
_logger.setLevel(logging.ERROR)


class Door:
    """What all new connections share.

    Args:
        hub: where accepted ones go.
        jobs: whom to ask whether one may come in.
        guard: checks `Host` and `Origin`.
        allow_query_token: the core's setting.
        http: makes aiohttp's protocol for a connection that is no WebSocket.
    """

    def __init__(
        self,
        hub: Hub,
        jobs: Jobs,
        guard: Guard,
        *,
        allow_query_token: bool,
        http: Callable[[], asyncio.Protocol],
    ) -> None:
        self.hub = hub
        self.jobs = jobs
        self.guard = guard
        self.http = http
        self.allow_query_token = allow_query_token
        self.clock: Clock = SystemClock()
        self.bucket = Bucket(hub.settings.connects_per_s, hub.loop.time())
        self.paths = {"/", f"/{hub.settings.stage}", f"/{hub.settings.stage}/"}

    def refusal_of(self, request: Request) -> bytes | None:
        """Say why a handshake is refused before anybody is asked, or None.

        Raises:
            ValueError: its address cannot be read, or it names two hosts.
        """
        host = handshake.host_of(request)
        problem = self.guard.host_problem(host) or self.guard.origin_problem(
            request.headers.get("Origin"), host
        )
        if problem:
            return handshake.refusal(403, "FORBIDDEN", problem)
        if unquote(urlsplit(request.path).path) not in self.paths:
            return handshake.refusal(403, "FORBIDDEN", "There is no such stage")
        if self.hub.draining:
            return handshake.refusal(
                503,
                "SERVICE_UNAVAILABLE",
                "The server is about to stop",
                retry_after_ms=_DRAIN_RETRY_MS,
            )
        wait_ms = self.bucket.take(self.hub.loop.time())
        if wait_ms is not None:
            return handshake.refusal(
                429, "RATE_LIMITED", "Too many new connections", retry_after_ms=wait_ms
            )
        return None


class Front(asyncio.Protocol):
    """Reads a request's head, of bounded size and time, and passes the connection on."""

    __slots__ = ("_buffer", "_door", "_transport", "slot")

    def __init__(self, door: Door) -> None:
        self._door = door
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self.slot: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the head."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        hub = self._door.hub
        hub.wheel.put(self, hub.loop.time() + HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Forget it."""
        self._transport = None
        self._door.hub.wheel.drop(self)

    def due(self, now: float) -> None:  # noqa: ARG002
        """Cut a client that did not send its head in time; the wheel asks."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what the socket brought."""
        self._buffer += data
        while self._buffer.startswith(b"\r\n"):  # RFC 9112, 2.2; an empty head is no head
            del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n") + 4
        if end < 4 and len(self._buffer) <= HEAD_BYTES:
            return
        self._door.hub.wheel.drop(self)
        if not 4 <= end <= HEAD_BYTES:
            self._refuse(handshake.refusal(431, "PAYLOAD_TOO_LARGE", "The headers are too large"))
        elif handshake.wants_websocket(self._buffer[:end]):
            self._websocket(bytes(self._buffer[:end]), bytes(self._buffer[end:]))
        else:
            self._hand_over(bytes(self._buffer))

    def _hand_over(self, data: bytes) -> None:
        transport, http = self._transport, self._door.http()
        assert transport is not None
        transport.set_protocol(http)
        http.connection_made(transport)
        http.data_received(data)

    def _refuse(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)
            self._transport.close()

    def _websocket(self, head: bytes, early: bytes) -> None:
        door, transport = self._door, self._transport
        assert transport is not None
        ws = handshake.acceptor(door.hub.settings.max_frame_bytes, _logger)
        ws.receive_data(head)
        request = next(iter(ws.events_received()), None)
        if not isinstance(request, Request):
            answer = b"".join(ws.data_to_send())
            self._refuse(answer or handshake.refusal(400, "INVALID_MESSAGE", "Not a good request"))
            return
        response = ws.accept(request)
        if response.status_code != 101:
            self._refuse(response.serialize())
            return
        peer = transport.get_extra_info("peername")
        try:
            asked = handshake.describe(
                request,
                connection_id=f"{door.hub.name}-{door.clock.new_id()}",
                address=peer[0] if peer else None,
                allow_query_token=door.allow_query_token,
            )
            refused = door.refusal_of(request)
        except ValueError:
            refused = handshake.refusal(400, "INVALID_MESSAGE", "Not a good request")
        if refused:
            self._refuse(refused)
            return
        # Nothing is read before the core has answered, so nothing can be answered too early.
        transport.pause_reading()
        _Asking(
            door=door, transport=transport, ws=ws, asked=asked, response=response, early=early
        ).ask()


@dataclass(kw_only=True)
class _Asking:
    """A handshake that waits for a worker's answer; all of it is dropped afterwards."""

    door: Door
    transport: asyncio.Transport
    ws: handshake.Acceptor
    asked: dict[str, Any]
    response: Response
    early: bytes

    def ask(self) -> None:
        body = json.dumps(self.asked).encode()
        self.door.jobs.put(Job(Kind.CONNECT, (body,), self._answered))

    def _answered(self, kind: int, body: bytes) -> None:
        if kind == Kind.ACCEPTED:
            self._accept(body)
        elif kind == Kind.REFUSED:
            refused = json.loads(body)
            self._refuse(
                handshake.refusal(
                    refused["status"],
                    refused["code"],
                    refused["message"],
                    retry_after_ms=refused["retry_after_ms"],
                )
            )
        else:
            sentence = "No worker could answer; try again"
            self._refuse(
                handshake.refusal(
                    503, "SERVICE_UNAVAILABLE", sentence, retry_after_ms=_DRAIN_RETRY_MS
                )
            )

    def _accept(self, connection: bytes) -> None:
        hub = self.door.hub
        if self.transport.is_closing():
            hub.gone(self.asked["connection_id"])
            return
        self.ws.send_response(self.response)
        agent = self.asked["headers"].get("user-agent", "")[:256]
        client = Client(hub, self.transport, self.ws, connection, agent)
        self.transport.writelines(self.ws.data_to_send())
        self.transport.set_protocol(client)
        hub.join(client)
        self.transport.resume_reading()
        if self.early:
            client.data_received(self.early)

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()
