"""One WebSocket: hello, reading, heartbeat, and what was sent on it without an answer yet."""

import asyncio
import logging
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from streamer_client.errors import (
    ConnectionLost,
    GatewayError,
    ProtocolError,
    StreamerError,
    WaitTimeout,
    request_error,
)
from streamer_client.settings import Settings
from streamer_client.timing import Timing
from streamer_client.waiting import within
from streamer_client.wire import MESSAGE_LIMIT, decode, encode, fragments

logger = logging.getLogger("streamer_client")
VERSION = 1


class Owner(Protocol):
    """Who is told what a connection hears, and its end."""

    def receive(self, connection: "Connection", raw: dict[str, Any]) -> None:
        """Take a message that answers nothing the connection itself asked."""

    def gateway_error(self, connection: "Connection", message_id: str, error: GatewayError) -> None:
        """Learn that this message did not get through, or got no answer."""

    def lost(self, connection: "Connection") -> None:
        """Learn that the connection is no more."""


def framework_message(action: str, payload: Mapping[str, Any]) -> tuple[str, bytes]:
    """Make a message to the framework, and the id its answer will carry."""
    message_id = f"{action.removeprefix('streamer.')}-{uuid.uuid4().hex}"
    return message_id, encode({"id": message_id, "action": action, "payload": dict(payload)})


class Connection:
    """Made around an open socket; ``start()`` begins to read it."""

    def __init__(
        self, websocket: ClientConnection, owner: Owner, settings: Settings, timing: Timing
    ) -> None:
        self._websocket = websocket
        self._owner = owner
        self._settings = settings
        self._timing = timing
        self._asked: dict[str, asyncio.Future[dict[str, Any] | StreamerError]] = {}
        self._unanswered: set[str] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._heard = timing.now()
        self.opened = timing.now()
        self.ended = asyncio.Event()
        self.message_limit = MESSAGE_LIMIT
        self.goodbye: float | None = None
        """Seconds to wait before coming back, once the server has said goodbye."""
        self._leaving = asyncio.Event()

    async def start(self, resume: Mapping[str, int]) -> None:
        """Read, say hello and begin to ping; raise where the server does not answer well."""
        self._tasks = [asyncio.create_task(self._read())]
        payload: dict[str, Any] = {"version": VERSION}
        if resume:
            payload["resume"] = dict(resume)
        answer = await self.ask("streamer.hello", payload, limit=self._settings.open_timeout)
        if answer.get("type") == "error":
            error = request_error(answer)
            if error.code == "UNSUPPORTED_VERSION":
                raise ProtocolError(f"the server refused protocol version {VERSION}")
            raise error
        self._take_limits(answer.get("limits"))
        self._tasks.append(asyncio.create_task(self._heartbeat()))

    def _take_limits(self, limits: Any) -> None:
        longest = limits.get("message_bytes") if isinstance(limits, Mapping) else None
        if isinstance(longest, int):
            self.message_limit = min(longest, MESSAGE_LIMIT)

    async def send(self, data: bytes) -> None:
        """Send a message in frames of a lawful size; raise ConnectionLost where it is cut."""
        pieces = list(fragments(data))
        try:
            await self._websocket.send(pieces[0] if len(pieces) == 1 else pieces, text=True)
        except ConnectionClosed as error:
            raise ConnectionLost("the connection closed while sending") from error

    async def ask(self, action: str, payload: Mapping[str, Any], *, limit: float) -> dict[str, Any]:
        """Ask something on this very connection; its answer, even a refusal, is returned."""
        message_id, data = framework_message(action, payload)
        reply: asyncio.Future[dict[str, Any] | StreamerError]
        reply = self._asked[message_id] = asyncio.get_running_loop().create_future()
        try:
            await self.send(data)
            answer = await within(limit, reply, what=f"answer to {action}")
        finally:
            del self._asked[message_id]
        if isinstance(answer, StreamerError):
            raise answer
        return answer

    def expect(self, message_id: str) -> None:
        """Note that an answer to this message is owed on this connection."""
        self._unanswered.add(message_id)
        self._quiet.clear()

    def answered(self, message_id: str) -> None:
        """Note that it came."""
        self._unanswered.discard(message_id)
        if not self._unanswered:
            self._quiet.set()

    @property
    def unanswered(self) -> frozenset[str]:
        """What was sent here and has neither answer nor acknowledgment."""
        return frozenset(self._unanswered)

    async def quiet(self) -> None:
        """Wait until nothing is owed on this connection, or it has ended."""
        await self._quiet.wait()

    async def said_goodbye(self) -> None:
        """Wait until the server says that it is about to close."""
        await self._leaving.wait()

    async def close(self) -> None:
        """Close the socket, and wait until everything about it is over."""
        await self._websocket.close()
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for text in self._websocket:
                self._heard = self._timing.now()
                raw = decode(text)
                if raw is None:
                    logger.warning("ignored a message that is not a JSON object")
                else:
                    self._route(raw)
        except ConnectionClosed as error:
            logger.info("connection closed: %s", error.rcvd.code if error.rcvd else "cut")
        finally:
            self._end()

    def _route(self, raw: dict[str, Any]) -> None:
        reply = self._asked.get(str(raw.get("request_id")))
        if reply is not None and not reply.done():
            reply.set_result(raw)
        elif raw.get("type") == "goodbye":
            self._say_goodbye(raw)
        elif raw.get("type") is None:
            self._gateway_frame(raw)
        else:
            self._owner.receive(self, raw)

    def _say_goodbye(self, raw: dict[str, Any]) -> None:
        after = raw.get("reconnect_after_ms")
        self.goodbye = after / 1000 if isinstance(after, int | float) else 0.0
        self._leaving.set()

    def _gateway_frame(self, raw: dict[str, Any]) -> None:
        """Take API Gateway's own error; it says what failed, but not for which message.

        Where a single message awaits its answer, that is the one. Where several do, none
        is blamed: each has its own answer or timeout still to come.
        """
        if "message" not in raw or "connectionId" not in raw:
            return
        owed = [*self._asked, *self._unanswered]
        logger.warning("API Gateway answered %r; %d answers are due", raw["message"], len(owed))
        if len(owed) != 1:
            return
        error = GatewayError(f"API Gateway could not hand on the message: {raw['message']}")
        if owed[0] in self._asked:
            self._asked[owed[0]].set_result(error)
        else:
            self._owner.gateway_error(self, owed[0], error)

    def _end(self) -> None:
        self.ended.set()
        self._quiet.set()
        for reply in self._asked.values():
            if not reply.done():
                reply.set_result(ConnectionLost("the connection closed before the answer"))
        self._owner.lost(self)

    async def _heartbeat(self) -> None:
        interval = self._settings.ping_interval
        while True:
            idle = self._timing.now() - self._heard
            if idle < interval:
                await self._timing.sleep(interval - idle)
                continue
            try:
                await self.ask("streamer.ping", {}, limit=self._settings.reply_timeout)
            except (WaitTimeout, ConnectionLost, GatewayError):
                logger.info("no answer to a ping: the connection is given up")
                await self._websocket.close()
                return
