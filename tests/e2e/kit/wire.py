"""A WebSocket without a client's cleverness: it records every frame that came, and when."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.e2e.kit.bounds import soon

Message = dict[str, Any]
_FRAME = 30_000


class Wire:
    """One connection.

    Attributes:
        frames: every message received, in order.
        closed: the close code, once it is closed; 1006 where it was cut.
    """

    def __init__(self, websocket: ClientConnection) -> None:
        self.frames: list[Message] = []
        self.closed: int | None = None
        self.by_request: dict[str, list[Message]] = {}
        self._websocket = websocket
        self._numbers = 0
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for text in self._websocket:
                message = json.loads(text)
                self.frames.append(message)
                self.by_request.setdefault(str(message.get("request_id")), []).append(message)
        except ConnectionClosed:
            pass
        self.closed = self._websocket.close_code

    async def send(self, action: str, payload: Mapping[str, Any] | None = None, **more: Any) -> str:
        """Send a message; gives its id."""
        self._numbers += 1
        name = str(more.pop("id", f"{id(self):x}-{self._numbers}"))
        message = {"id": name, "action": action, "payload": payload or {}, **more}
        text = json.dumps(message)
        # A frame has 32 KB at most.
        pieces = [text[at : at + _FRAME] for at in range(0, len(text), _FRAME)]
        await self._websocket.send(pieces if len(pieces) > 1 else text)
        return name

    async def ask(
        self, action: str, payload: Mapping[str, Any] | None = None, **more: Any
    ) -> Message:
        """Send a message and wait for its first answer."""
        name = await self.send(action, payload, **more)
        return await self.answer(name)

    async def answer(self, name: str, bound_s: float = 30) -> Message:
        """Wait for the answer to a message: what is no chunk or progress, which may overtake it."""
        return await soon(lambda: self.answered(name), f"an answer to {name}", bound_s)

    async def end(self, name: str, bound_s: float = 30) -> Message:
        """Wait for the message that ends a request."""
        return await soon(lambda: self.ended(name), f"the end of {name}", bound_s)

    def answered(self, name: str) -> Message | None:
        """Give the answer to a message."""
        return next(filter(_is_answer, self.by_request.get(name, ())), None)

    def ended(self, name: str) -> Message | None:
        """Give the message that ended a request, or refused it."""
        return next(filter(is_end, self.by_request.get(name, ())), None)

    def seen(self, wanted: Callable[[Message], Any]) -> list[Message]:
        """Give the messages that are so."""
        return [message for message in self.frames if wanted(message)]


def is_end(message: Message) -> bool:
    """Tell whether nothing can follow about this request."""
    ends = {"complete", "response"}
    refused = message.get("terminal") or message.get("refused")
    return message["type"] in ends or (message["type"] == "error" and bool(refused))


def _is_answer(message: Message) -> bool:
    kinds = {"acknowledgment", "response", "pong", "welcome"}
    return message["type"] in kinds or (message["type"] == "error" and is_end(message))


@asynccontextmanager
async def wired(url: str, **options: Any) -> AsyncIterator[Wire]:
    """Connect, record, and close."""
    async with connect(url, compression=None, max_size=None, **options) as websocket:
        wire = Wire(websocket)
        try:
            yield wire
        finally:
            await websocket.close()
            await wire.reading
