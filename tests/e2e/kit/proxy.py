"""A stable address in front of gateways that come and go, which can cut what goes through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_PIECE = 65_536


class Proxy:
    """Forwards TCP to whichever port is set."""

    def __init__(self) -> None:
        self.port = 0
        self.up = asyncio.Event()
        self._upstream = 0
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"ws://127.0.0.1:{self.port}/dev"

    def lead_to(self, port: int) -> None:
        """Forward to this port from now on."""
        self._upstream = port
        self.up.set()

    def lead_nowhere(self) -> None:
        """Refuse whoever connects."""
        self.up.clear()

    def cut(self) -> int:
        """Reset every connection, as a lost network does; gives how many there were."""
        cut = list(self._open)
        for writer in cut:
            writer.transport.abort()
        return len(cut) // 2

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not self.up.is_set():
                return
            there = await asyncio.open_connection("127.0.0.1", self._upstream)
            self._open |= {writer, there[1]}
            try:
                await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
            finally:
                self._open -= {writer, there[1]}
                there[1].transport.abort()
        except OSError:
            pass
        finally:
            writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()
    with suppress(OSError, RuntimeError):
        writer.write_eof()


@asynccontextmanager
async def proxied(upstream: int | None = None) -> AsyncIterator[Proxy]:
    """Run a proxy on a free port."""
    proxy = Proxy()
    if upstream is not None:
        proxy.lead_to(upstream)
    server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 2)
