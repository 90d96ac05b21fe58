"""Clients that come and go, each in its own way; a process of its own.

`python -m benchmarks.soak.visitors PORT VISITS_PER_S SECONDS` prints what they did as JSON.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable

from streamer_client import Cancelled, Client, Settings
from websockets.asyncio.client import connect

BOUND_S = 30.0
AT_ONCE = 200
_SETTINGS = Settings(ping_interval=60.0)

Visit = Callable[[str], Awaitable[None]]


def _client(url: str) -> Client:
    return Client(url, settings=_SETTINGS)


async def asks(url: str) -> None:
    """Ask a few things, and leave."""
    async with _client(url) as client:
        for number in range(3):
            text = f"visit {number}"
            assert await client.request("echo", {"text": text}) == {"text": text}


async def watches(url: str) -> None:
    """Follow a request to its end."""
    async with _client(url) as client:
        handle = client.submit("stages", {"stages": 5})
        async for _ in handle:
            pass
        assert await handle == {"stages": 5}


async def comes_back(url: str) -> None:
    """Leave in the middle of a request, and come back for the rest."""
    async with _client(url) as client:
        handle = client.submit("stages", {"stages": 8})
        async for _ in handle:
            break
        name = handle.id
    async with _client(url) as client:
        assert await client.follow(name) == {"stages": 8}


async def never_comes_back(url: str) -> None:
    """Have something queued, and be cut off."""
    async with connect(url, compression=None) as websocket:
        await websocket.send(json.dumps({"action": "stages", "payload": {"stages": 4}}))
        await websocket.recv()
        websocket.transport.abort()


async def changes_its_mind(url: str) -> None:
    """Cancel."""
    async with _client(url) as client:
        handle = client.submit("stages", {"stages": 200})
        async for _ in handle:
            break
        await client.cancel(handle.id)
        try:
            await handle
        except Cancelled:
            return
        raise AssertionError("it was not cancelled")


async def listens(url: str) -> None:
    """Hear what it publishes itself."""
    async with _client(url) as client, client.subscribe("visits") as events:
        await client.request("tell", {"from": "a visitor"})
        async for _ in events:
            return


async def is_served_at_last(url: str) -> None:
    """Have a request that fails at first and waits for its turn in between."""
    async with _client(url) as client:
        assert await client.request("stages", {"stages": 3, "troubles": True}) == {"stages": 3}


async def talks_nonsense(url: str) -> None:
    """Be told that it does, and be closed for the last of it."""
    async with connect(url, compression=None) as websocket:
        for text in ("nonsense", "[" * 1000, '{"action": "nobody"}'):
            await websocket.send(text)
            assert json.loads(await websocket.recv())["type"] == "error"
        await websocket.send(b"binary")
        await websocket.wait_closed()


WAYS: tuple[Visit, ...] = (
    asks,
    watches,
    comes_back,
    never_comes_back,
    changes_its_mind,
    listens,
    is_served_at_last,
    talks_nonsense,
)


class Visitors:
    """All of them.

    Args:
        url: the gateway's.
        per_s: how many come each second.
    """

    def __init__(self, url: str, per_s: float) -> None:
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._url = url
        self._pause_s = 1 / per_s

    async def run(self, seconds: float) -> None:
        """Let them come for so long; then wait for the last to go."""
        loop = asyncio.get_running_loop()
        room = asyncio.Semaphore(AT_ONCE)
        due, end, number = loop.time(), loop.time() + seconds, 0
        async with asyncio.TaskGroup() as tasks:
            while loop.time() < end:
                await room.acquire()
                visit = tasks.create_task(self._visit(WAYS[number % len(WAYS)]))
                visit.add_done_callback(lambda _: room.release())
                number, due = number + 1, due + self._pause_s
                await asyncio.sleep(max(0.0, due - loop.time()))

    async def _visit(self, way: Visit) -> None:
        name = getattr(way, "__name__", "?")
        try:
            async with asyncio.timeout(BOUND_S):
                await way(self._url)
        except Exception as error:  # noqa: BLE001 - told, and the others go on
            self.failed[f"{name}: {type(error).__name__}: {error}"[:200]] += 1
        else:
            self.done[name] += 1


def main() -> None:
    """Run as the command line says."""
    port, per_s, seconds = sys.argv[1:]
    visitors = Visitors(f"ws://127.0.0.1:{port}/dev", float(per_s))
    asyncio.run(visitors.run(float(seconds)))
    print(json.dumps({"done": visitors.done, "failed": visitors.failed}))


if __name__ == "__main__":
    main()
