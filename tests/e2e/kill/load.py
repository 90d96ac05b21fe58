"""Clients that never stop asking: the Python client behind a proxy, and a bare wire."""

import asyncio
import random
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from streamer_client import Backoff, Client, Settings
from streamer_client.errors import Failed
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.e2e.kit.bounds import soon
from tests.e2e.kit.promises import Kept
from tests.e2e.kit.proxy import Proxy
from tests.e2e.kit.wire import Message, Wire, wired
from tests.e2e.project.jobs import total

_AT_ONCE = 6
_BURST = 8
_SETTLE_S = 180  # of which a busy machine may need half for a few starts of the gateway
_QUICK = Settings(backoff=Backoff(base=0.05, cap=0.5), gap_timeout=0.3, start_offline=True)
_ACTIONS = ("work", "work", "narrow", "frail")


@dataclass
class Load:
    """Everything that was asked, and what came of it.

    Attributes:
        acknowledged: ids that a client was told are stored.
        outcomes: for each request of the Python client, how it ended for it.
        frames: what each bare wire received, wire by wire.
        heard: counts whatever comes: the clock of the killer.
    """

    proxy: Proxy
    chance: random.Random
    acknowledged: set[str] = field(default_factory=set)
    outcomes: dict[str, str] = field(default_factory=dict)
    frames: list[list[Message]] = field(default_factory=list)
    heard: int = 0
    restarts: int = 0
    _stopping: bool = False
    _wire: Wire | None = None
    _asked: int = 0

    async def run(self) -> None:
        """Ask until told to stop; then wait until all is answered."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._wires())
            async with (
                Client(self.proxy.url, settings=_QUICK) as client,
                asyncio.TaskGroup() as askers,
            ):
                for number in range(_AT_ONCE):
                    askers.create_task(self._asker(client, number))

    def stop(self) -> None:
        """Ask nothing new."""
        self._stopping = True

    async def moment(self) -> None:
        """Wait for a random moment: until so many more messages have come."""
        wire = self._wire
        before = self.heard + len(wire.frames if wire else ())
        wanted = self.chance.randint(1, 150)

        def reached() -> bool:
            wire = self._wire
            return self.heard + len(wire.frames if wire else ()) >= before + wanted

        await soon(reached, f"{wanted} more messages")

    # -- the Python client

    async def _asker(self, client: Client, number: int) -> None:
        asked = 0
        while not self._stopping:
            asked += 1
            await asyncio.wait_for(self._ask(client, f"c{number}-{asked}"), _SETTLE_S)

    async def _ask(self, client: Client, name: str) -> None:
        steps, action = self.chance.randint(1, 12), self.chance.choice(_ACTIONS)
        pause, keep = self.chance.choice((0, 5, 30)), self.chance.choice((0, 1, 4))
        payload = {"steps": steps, "pause_ms": pause, "keep": keep}
        handle = client.submit(action, payload, id=name, retries=1000)
        kept = Kept()
        try:
            async for update in handle:
                self.heard += 1
                kept.take(update)
        except Failed as error:
            if action != "frail" or error.code != "PROCESSING_FAILED":
                raise
            self.outcomes[name] = "failed"
        else:
            kept.check(name, steps)
            assert await handle == total(name, steps)
            self.outcomes[name] = "completed"
        self.restarts += kept.restarts

    # -- the bare wire

    async def _wires(self) -> None:
        while not self._stopping:
            await self.proxy.up.wait()
            try:
                async with wired(self.proxy.url) as wire:
                    self._wire = wire
                    await self._burst_on(wire)
            except (OSError, EOFError, ConnectionClosed, InvalidHandshake):
                await asyncio.sleep(0)
            finally:
                self._keep()

    async def _burst_on(self, wire: Wire) -> None:
        while wire.closed is None and not self._stopping:
            names = [f"w{self._asked + n}" for n in range(_BURST)]
            self._asked += _BURST
            for name in names:
                await wire.send("work", {"steps": self.chance.randint(0, 2)}, id=name)
            try:
                await soon(partial(_answered, wire, names), "answers", _SETTLE_S)
            finally:
                self._note(wire, names)

    def _note(self, wire: Wire, names: list[str]) -> None:
        for name in names:
            if any(one["type"] == "acknowledgment" for one in wire.by_request.get(name, ())):
                self.acknowledged.add(name)

    def _keep(self) -> None:
        if self._wire is not None:
            self.heard += len(self._wire.frames)
            self.frames.append(self._wire.frames)
            self._wire = None


def _answered(wire: Wire, names: list[str]) -> bool:
    return wire.closed is not None or all(map(wire.ended, names))


async def sound(wire: Wire) -> Any:
    """See that a gateway does all it should: at once, queued, and two at a time."""
    answer = await wire.ask("echo", {"is": "sound"})
    assert answer["data"] == {"is": "sound"}
    names = [await wire.send("narrow", {"steps": 2}, id=f"after-{n}") for n in range(6)]
    for name in names:
        assert (await wire.end(name))["result"] == total(name, 2)
