"""A server that does what the test says, message by message, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from streamer_client import Backoff, Client, Settings, Timing
from streamer_client.handshake import Token
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

BOUND = 10.0  # seconds after which something that should come is taken to be missing
FAST = Backoff(base=0.001, cap=0.01)
Answer = TypeVar("Answer")


async def soon(work: Awaitable[Answer]) -> Answer:
    """Wait, but not for ever."""
    return await asyncio.wait_for(work, BOUND)


async def until(true: Callable[[], bool]) -> None:
    """Let others run until something holds."""
    async with asyncio.timeout(BOUND):
        while not true():  # noqa: ASYNC110  # what it waits for has no event
            await asyncio.sleep(0)


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(3 * BOUND):
            await work

    asyncio.run(bounded())


class Peer:
    """The server's end of one connection."""

    def __init__(self, websocket: ServerConnection) -> None:
        self.websocket = websocket
        self.hello: dict[str, Any] = {}

    async def recv(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await soon(self.websocket.recv()))
        return message

    async def send(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            await self.websocket.send(json.dumps({"timestamp": 1, **message}))

    async def welcome(self, *replay: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Answer the hello; return its payload."""
        message = await self.recv()
        assert message["action"] == "streamer.hello"
        self.hello = message["payload"]
        welcome = {"type": "welcome", "request_id": message["id"], "version": 1, **more}
        await self.send(welcome, *replay)
        return self.hello

    async def expect(self, action: str, *answers: dict[str, Any]) -> dict[str, Any]:
        """Receive a message of this action; answer it, with its id where none is given."""
        message = await self.recv()
        assert message["action"] == action, message
        await self.send(*({"request_id": message["id"], **answer} for answer in answers))
        return message

    async def answer(self, action: str, data: Any = None) -> dict[str, Any]:
        return await self.expect(action, response(data))

    async def cut(self) -> None:
        """End the connection without a word."""
        self.websocket.transport.abort()
        await self.websocket.wait_closed()

    async def closed(self) -> int | None:
        """Wait for the client to close; return the code."""
        try:
            while True:
                await soon(self.websocket.recv())
        except ConnectionClosed:
            return self.websocket.close_code


class ScriptedServer:
    """Accepts connections; ``refuse`` has the HTTP answers that come first, ``said`` their body."""

    def __init__(self) -> None:
        self.peers: asyncio.Queue[Peer] = asyncio.Queue()
        self.requests: list[Request] = []
        self.refuse: list[tuple[int, dict[str, str]]] = []
        self.said = b""
        self.server: Server | None = None
        self.url = ""

    async def accept(self, *replay: dict[str, Any]) -> Peer:
        """Wait for the next connection, and welcome it."""
        peer = await soon(self.peers.get())
        await peer.welcome(*replay)
        return peer

    async def serve(self, websocket: ServerConnection) -> None:
        await self.peers.put(Peer(websocket))
        await websocket.wait_closed()

    async def process(self, _: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        if not self.refuse:
            return None
        status, headers = self.refuse.pop(0)
        length = {"Content-Length": str(len(self.said))}
        return Response(status, "Refused", Headers({**length, **headers}), self.said)

    def header(self, name: str) -> list[str | None]:
        """What each handshake had under this name."""
        return [request.headers.get(name) for request in self.requests]

    async def start(self, port: int = 0) -> None:
        self.server = await serve(
            self.serve,
            "127.0.0.1",
            port,
            process_request=self.process,
            subprotocols=[Subprotocol("streamer.v1")],
            select_subprotocol=lambda _, offered: Subprotocol("streamer.v1") if offered else None,
            max_size=128 * 1024,
            ping_interval=None,
            close_timeout=0.2,
            compression=None,
        )
        self.url = f"ws://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/stage"

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        await self.server.wait_closed()


@asynccontextmanager
async def scripted() -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def connected(
    token: Token = None, timing: Timing | None = None, **settings: Any
) -> AsyncIterator[tuple[ScriptedServer, Client, Peer]]:
    """A server, a client, and the server's end of the client's first connection."""
    async with scripted() as server:
        chosen = Settings(**{"backoff": FAST, "gap_timeout": 0.02, "linger": 2.0, **settings})
        client = Client(server.url, token, settings=chosen, timing=timing)
        entering = asyncio.create_task(client.connect())
        peer = await server.accept()
        await soon(entering)
        try:
            yield server, client, peer
        finally:
            await client.close()


# Messages of a server.


def response(data: Any = None, **more: Any) -> dict[str, Any]:
    return {"type": "response", "success": True, "data": data, **more}


def acknowledgment(status: str = "queued", **more: Any) -> dict[str, Any]:
    return {"type": "acknowledgment", "ref": "ref-1", "status": status, "message": "", **more}


def chunk(seq: int, data: Any = None, **more: Any) -> dict[str, Any]:
    return {"type": "chunk", "seq": seq, "data": f"c{seq}" if data is None else data, **more}


def progress(percentage: float, n: int, attempt: int = 1, **more: Any) -> dict[str, Any]:
    fields = {"percentage": percentage, "message": "", "attempt": attempt, "n": n, "after": 0}
    return {"type": "progress", **fields, **more}


def restart(seq: int, keep: int, **more: Any) -> dict[str, Any]:
    return {"type": "restart", "seq": seq, "keep_through_seq": keep, "attempt": 2, **more}


def complete(seq: int, result: Any = "done", **more: Any) -> dict[str, Any]:
    return {"type": "complete", "seq": seq, "result": result, "terminal": True, **more}


def failed(code: str, **more: Any) -> dict[str, Any]:
    error = {"code": code, "message": "no"}
    return {"type": "error", "error": error, "terminal": True, **more}


def refused(code: str, **more: Any) -> dict[str, Any]:
    retry = more.pop("retry", None)
    error = {"code": code, "message": "no", **({"retry": retry} if retry else {})}
    return {"type": "error", "error": error, "refused": True, **more}


def resumed(
    last_seq: int, *, recovered: bool = True, more: bool = False, **fields: Any
) -> dict[str, Any]:
    return {
        "type": "resumed",
        "last_seq": last_seq,
        "recovered": recovered,
        "more": more,
        **fields,
    }
