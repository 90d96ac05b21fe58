"""Everybody else's requests, meanwhile: none of them may come to harm."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.e2e.kit.stand import Stand
from tests.e2e.kit.wire import Message, Wire, wired
from tests.e2e.project.jobs import total

_PAUSE_S = 0.02  # so that the workers have time for trouble


class Others:
    """Requests of everybody else, meanwhile."""

    def __init__(self, wire: Wire) -> None:
        self.asked: list[str] = []
        self._wire = wire

    async def ask(self) -> None:
        """Ask at once and queued, again and again, until cancelled."""
        while True:
            queued = await self._wire.ask("work", {"steps": 3, "pause_ms": 50})
            if not lost(queued):
                self.asked.append(queued["request_id"])
            answer = await self._wire.ask("echo", {"n": len(self.asked)})
            assert lost(answer) or answer["data"] == {"n": len(self.asked)}, answer
            await asyncio.sleep(_PAUSE_S)

    async def check(self) -> None:
        """See that all that was queued is done."""
        for name in self.asked:
            end = await self._wire.end(name)
            assert end.get("result") == total(name, 3), end


def lost(answer: Message) -> bool:
    """Tell whether the worker died over the message: it may be sent again."""
    return bool(answer.get("error", {}).get("code") == "SERVICE_UNAVAILABLE")


@asynccontextmanager
async def others_go_on(stand: Stand) -> AsyncIterator[Others]:
    """Have others ask meanwhile; none of them may come to harm."""
    async with wired(stand.gateway.url) as wire:
        others = Others(wire)
        asking = asyncio.create_task(others.ask())
        try:
            yield others
        finally:
            asking.cancel()
            await asyncio.wait([asking])
        if not asking.cancelled():
            asking.result()
        await others.check()
