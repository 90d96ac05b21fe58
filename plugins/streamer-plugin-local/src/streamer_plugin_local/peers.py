"""Both ends of a socket between two gateways: one asks, the other does as it does for its workers.

The records are those between gateway and workers (see `records`).
"""

import asyncio
import itertools
from collections.abc import Callable

from streamer_core.ports import Delivery
from streamer_plugin_local.records import Kind, Record, Splitter, encode

ANSWER_S = 2.0
"""How long another gateway may take to answer. Meanwhile a worker's pulse may be waiting, which has
the heartbeats of all its requests to write."""

_BUFFER_BYTES = 8 * 1024 * 1024

Answer = Callable[[bytes | Delivery], None]
"""Takes the result's body; or, where there is none, whether the connections asked about are gone
with their gateway, or busy because it does not answer."""


class Stream(asyncio.Protocol):
    """Writes records, those of one round of the event loop at once; keeps them until it is open."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.splitter = Splitter()
        self._out: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Write what waits."""
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=_BUFFER_BYTES)
        self._transport = transport
        self._flush()

    def write(self, record: bytes) -> None:
        """Queue a record for the end of the round."""
        self._out.append(record)
        if len(self._out) == 1:
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            out, self._out = self._out, []
            self._transport.write(b"".join(out))

    def cut(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()


class Caller(Stream):
    """Another gateway, as the one that holds the connections has it.

    Args:
        serve: does what a record asks, and answers it.
        callers: all that are open; it puts itself there.
    """

    def __init__(self, serve: Callable[["Caller", Record], None], callers: "set[Caller]") -> None:
        super().__init__()
        self._serve = serve
        self._callers = callers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the others."""
        super().connection_made(transport)
        self._callers.add(self)

    def data_received(self, data: bytes) -> None:
        """Serve records."""
        for record in self.splitter.feed(data):
            self._serve(self, record)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Forget it."""
        self._callers.discard(self)


class Peer(Stream):
    """Another gateway, as the one that asks has it.

    One that owes an answer for too long is stopped, or overloaded: until it has answered anything,
    everything is busy at once, so that nobody waits for it again and again.

    Args:
        lost: called when the socket is closed.
    """

    def __init__(self, lost: Callable[["Peer"], None]) -> None:
        super().__init__()
        self._lost = lost
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[float, Answer]] = {}
        self._looking: asyncio.TimerHandle | None = None
        self._silent = False
        self._full = False

    def ask(self, kind: Kind, body: bytes, answer: Answer) -> None:
        """Send a record and hand its result to `answer`, once and in `ANSWER_S`."""
        if self._silent or self._full:
            answer(Delivery.BUSY)
            return
        number = next(self._numbers) & 0xFFFFFFFF
        due = self.loop.time() + ANSWER_S
        self._asked[number] = due, answer
        self.write(encode(kind, number, body))
        if self._looking is None:
            self._looking = self.loop.call_at(due, self._look)

    @property
    def owes(self) -> bool:
        """Whether an answer is waited for."""
        return bool(self._asked)

    def give_up(self, verdict: Delivery) -> None:
        """Answer all that was asked: nobody else will. What comes now is busy."""
        self._silent = True
        asked, self._asked = self._asked, {}
        for _, answer in asked.values():
            answer(verdict)

    def _look(self) -> None:
        self._looking = None
        now = self.loop.time()
        while self._asked:
            number, (due, answer) = next(iter(self._asked.items()))
            if due > now:
                self._looking = self.loop.call_at(due, self._look)
                return
            self._silent = True
            del self._asked[number]
            answer(Delivery.BUSY)

    def data_received(self, data: bytes) -> None:
        """Take answers; one that comes too late only shows that the other is back."""
        self._silent = False
        for _, number, body in self.splitter.feed(data):
            if asked := self._asked.pop(number, None):
                asked[1](body)

    def pause_writing(self) -> None:
        """Ask nothing more for now."""
        self._full = True

    def resume_writing(self) -> None:
        """Ask again."""
        self._full = False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Say so."""
        self._lost(self)
