"""One open WebSocket in the gateway.

There may be ten thousand: no task, no timer, no lock each. Nothing here waits; what a client does
not read is buffered up to a mark, then it is not read from either, then it is closed.
"""

import asyncio
import json
import struct
from typing import TYPE_CHECKING, Any

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from streamer_core.model.decode import request_id_of
from streamer_core.ports import Delivery
from streamer_plugin_local.records import Kind, short, split_long, split_short
from streamer_plugin_local.sayings import goodbye, too_large, unavailable

if TYPE_CHECKING:
    from streamer_plugin_local.hub import Hub

LINGER_S = 5.0
"""How long a closed connection may take to say goodbye itself before it is cut."""

_CUT_AT = 4

# Why a client is not read from.
_CHOKED, _AHEAD, _CROWDED = 1, 2, 4


_LAST_TEXT = 0x80 | Opcode.TEXT
_SHORT, _MEDIUM = struct.Struct("!BB"), struct.Struct("!BBH")


def text_frame(data: bytes) -> bytes:
    """Encode a text frame as a server sends it (RFC 6455, 5.2)."""
    size = len(data)
    if size < 126:
        return _SHORT.pack(_LAST_TEXT, size) + data
    if size < 1 << 16:
        return _MEDIUM.pack(_LAST_TEXT, 126, size) + data
    return Frame(Opcode.TEXT, data).serialize(mask=False)


class Client(asyncio.Protocol):
    """An accepted connection.

    Args:
        hub: all connections, and what they share.
        transport: its socket.
        ws: the protocol state, after the handshake.
        connection: the core's record of it, encoded: goes to the worker with each message.
        agent: its User-Agent, for the management API.
    """

    __slots__ = (
        "_choked_at",
        "_hub",
        "_paused",
        "_pending",
        "_size",
        "_text",
        "_transport",
        "_ws",
        "active_at",
        "agent",
        "closing",
        "connection",
        "ends_at",
        "id",
        "slot",
    )

    def __init__(
        self,
        hub: "Hub",
        transport: asyncio.Transport,
        ws: ServerProtocol,
        connection: bytes,
        agent: str,
    ) -> None:
        self._hub = hub
        self._transport = transport
        self._ws = ws
        self._text: list[bytes] | None = None
        self._size = 0
        self._pending = 0
        self._paused = 0
        self._choked_at = 0.0
        self.active_at = hub.loop.time()
        self.agent = agent
        self.closing = False
        self.slot: int | None = None
        self.renew(connection)
        transport.set_write_buffer_limits(high=hub.settings.send_buffer_bytes)

    def renew(self, connection: bytes) -> None:
        """Take the core's record of the connection."""
        record = json.loads(connection)
        self.id: str = record["id"]
        self.connection = connection
        self.ends_at = self._hub.loop_time(record["expires_at"])

    def record(self) -> dict[str, Any]:
        """Give the core's record of the connection."""
        found: dict[str, Any] = json.loads(self.connection)
        return found

    # -- from the client

    def data_received(self, data: bytes) -> None:
        """Take what the socket brought."""
        self.active_at = self._hub.loop.time()
        self._ws.receive_data(data)
        for frame in self._ws.events_received():
            if not self.closing and isinstance(frame, Frame):
                self._frame(frame)
        if self._ws.writes:
            self._write_protocol()

    def eof_received(self) -> None:
        """Close too: half a WebSocket is of no use."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Forget it; messages under way are answered into the void."""
        self.closing = True
        self._hub.leave(self)

    def _frame(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is Opcode.TEXT:
            if frame.fin:
                self._message(bytes(frame.data))
                return
            self._text, self._size = [bytes(frame.data)], len(frame.data)
        elif opcode is Opcode.CONT:
            self._continued(frame)
        elif opcode is Opcode.BINARY:
            # API Gateway passes binary on as text; PROTOCOL.md closes.
            self.close(CloseCode.UNSUPPORTED_DATA, "send text frames")

    def _continued(self, frame: Frame) -> None:
        if self._text is None:
            return
        self._size += len(frame.data)
        # Of a message that is too large already, the rest is counted and not kept.
        if self._size <= self._hub.settings.max_message_bytes:
            self._text.append(bytes(frame.data))
        if frame.fin:
            parts, self._text = self._text, None
            self._message(b"".join(parts), self._size)

    def _message(self, data: bytes, size: int = 0) -> None:
        if max(size, len(data)) > self._hub.settings.max_message_bytes:
            self.write(too_large(max(size, len(data)), self._hub.settings.max_message_bytes))
        elif self._hub.draining:
            self.write(unavailable(request_id_of(data), "The server is about to stop"))
        else:
            self._pending += 1
            if self._pending >= self._hub.settings.pending_per_connection:
                self._pause(_AHEAD)
            if not self._hub.take(self, data):
                self._pause(_CROWDED)
                self._hub.crowd.append(self)

    # -- from a worker

    def job(self, data: bytes) -> tuple[bytes, bytes]:
        """Give the body of the record that brings a message to a worker."""
        return short(self.connection), data

    def answered(self, kind: int, body: bytes, data: bytes) -> None:
        """Take the answer to a message: frames, or that its worker died."""
        self._pending -= 1
        if self._paused & _AHEAD and self._pending < self._hub.settings.pending_per_connection:
            self._resume(_AHEAD)
        if self.closing:
            return
        if kind == Kind.LOST:
            self.write(unavailable(request_id_of(data), body.decode()))
            return
        extras, frames = split_short(body)
        for frame in split_long(frames):
            self.write(frame)
        if extras:
            self._obey(json.loads(extras))

    def _obey(self, extras: dict[str, Any]) -> None:
        if "connection" in extras:
            self.renew(json.dumps(extras["connection"], separators=(",", ":")).encode())
            self._hub.wheel.put(self, min(self.ends_at, self._idle_at()))
        if "close" in extras and not self.closing:
            code, reason = extras["close"]
            self.close(code, reason)

    # -- to the client

    def send(self, frame: bytes) -> Delivery:
        """Send an encoded frame, unless the client is gone or has too much to read already."""
        if self.closing or self._transport.is_closing():
            return Delivery.GONE
        if self._paused & _CHOKED:
            return Delivery.BUSY
        self.active_at = self._hub.loop.time()
        self._transport.write(frame)
        return Delivery.DELIVERED

    def write(self, data: bytes) -> None:
        """Send an answer. It cannot be held back, so a client that never reads is cut off."""
        if self._paused & _CHOKED:
            waiting = self._transport.get_write_buffer_size() + len(data)
            if waiting > _CUT_AT * self._hub.settings.send_buffer_bytes:
                self.cut()
                return
        if not self.closing and not self._transport.is_closing():
            self._transport.write(text_frame(data))

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read."""
        self._choked_at = self._hub.loop.time()
        self._pause(_CHOKED)
        if not self.closing:
            self._hub.wheel.put(self, self._choked_at + self._hub.settings.slow_timeout / 1000)

    def resume_writing(self) -> None:
        """Read from it again."""
        self._resume(_CHOKED)

    def make_room(self) -> None:
        """Read from it again, now that fewer messages wait for a worker."""
        self._resume(_CROWDED)

    def _pause(self, reason: int) -> None:
        if not self._paused:
            self._transport.pause_reading()
        self._paused |= reason

    def _resume(self, reason: int) -> None:
        before, self._paused = self._paused, self._paused & ~reason
        if before and not self._paused and not self._transport.is_closing():
            self._transport.resume_reading()

    # -- the end

    def due(self, now: float) -> float | None:
        """Say goodbye when its time is over; the wheel asks."""
        if self.closing:
            self.cut()
            return None
        if self._paused & _CHOKED:
            slow_at = self._choked_at + self._hub.settings.slow_timeout / 1000
            if now >= slow_at:
                self.cut()
                return None
            return min(slow_at, self.ends_at)
        if now >= self.ends_at:
            self.dismiss("expired")
        elif now >= self._idle_at():
            self.dismiss("idle")
        return None if self.closing else min(self.ends_at, self._idle_at())

    def _idle_at(self) -> float:
        return self.active_at + self._hub.settings.idle_timeout / 1000

    def dismiss(self, reason: str) -> None:
        """Say `goodbye` and close: 1001, going away (RFC 6455, 7.4.1)."""
        self.say_goodbye(reason, 0)
        self.close(CloseCode.GOING_AWAY, reason)

    def say_goodbye(self, reason: str, reconnect_after_ms: int) -> None:
        """Say that the connection is about to be closed."""
        if not self.closing:
            self.write(goodbye(reason, reconnect_after_ms))

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake; a client that does not answer it is cut off."""
        if self.closing:
            return
        self.closing = True
        if self._ws.state is State.OPEN:
            self._ws.send_close(code, reason)
            self._write_protocol()
        self._linger()

    def cut(self) -> None:
        """Close without a handshake."""
        self.closing = True
        self._transport.abort()

    def _linger(self) -> None:
        self._paused = 0
        if not self._transport.is_closing():
            self._transport.resume_reading()
        self._hub.closing(self)

    def _write_protocol(self) -> None:
        for data in self._ws.data_to_send():
            if data:
                self._transport.write(data)
                continue
            # The protocol has ended. A client that has said so may go at once; to another, which
            # may still be sending, a closed socket would answer with a reset that swallows our
            # close frame.
            self.closing = True
            if self._ws.close_rcvd is not None:
                self._transport.close()
            elif self._transport.can_write_eof():
                self._transport.write_eof()
                self._linger()
