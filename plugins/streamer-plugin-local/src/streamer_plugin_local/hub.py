"""All open connections, and what they share."""

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from streamer_core.ports import Delivery
from streamer_plugin_local.client import LINGER_S, Client, text_frame
from streamer_plugin_local.jobs import Job, Jobs
from streamer_plugin_local.records import DELIVERIES, Kind
from streamer_plugin_local.settings import LocalSettings
from streamer_plugin_local.wheel import Wheel

if TYPE_CHECKING:
    from streamer_plugin_local.relay import Relay

_SLICE = 500
"""So many sends of a fan-out before other connections have their turn."""

_LEAVING_AT_ONCE = 16
_FASTEST_TICK_S, _SLOWEST_TICK_S, _TICKS_PER_IDLE = 0.01, 1.0, 10


class Hub:
    """Connections by id; messages from them to workers, and messages to them.

    Everything here runs on the event loop.

    Args:
        settings: the plugin's section.
        jobs: where messages go.

    Attributes:
        name: this run's, with which the ids of its connections begin.
        relay: the way to connections that other gateways hold, where there is one.
    """

    def __init__(self, settings: LocalSettings, jobs: Jobs) -> None:
        self.name = secrets.token_hex(4)
        self.relay: Relay | None = None
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.clients: dict[str, Client] = {}
        self.crowd: deque[Client] = deque()
        self.draining = False
        self.sockets = 0
        tick_s = settings.idle_timeout / 1000 / _TICKS_PER_IDLE
        self.wheel = Wheel(min(max(tick_s, _FASTEST_TICK_S), _SLOWEST_TICK_S))
        self._jobs = jobs
        self._posts = 0
        self._left: deque[str] = deque()
        self._leaving = 0
        self._reconnect_after_ms: int | None = None
        self._turning: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look at deadlines."""
        self.wheel.turn(self.loop.time())
        self._turning = self.loop.call_later(self.wheel.tick_s, self.start)

    def stop(self) -> None:
        """Look at deadlines no more."""
        if self._turning is not None:
            self._turning.cancel()

    def loop_time(self, unix_ms: int) -> float:
        """Give the event loop's time of a moment."""
        return self.loop.time() + unix_ms / 1000 - time.time()

    # -- coming and going

    def join(self, client: Client) -> None:
        """Take in a connection that was accepted and answered."""
        self.clients[client.id] = client
        self.sockets += 1
        self.wheel.put(client, client.due(self.loop.time()) or 0)
        if self._reconnect_after_ms is not None:  # its handshake was under way when all were told
            client.say_goodbye("drain", self._reconnect_after_ms)

    def closing(self, client: Client) -> None:
        """Send it nothing more, and cut it off if it does not close."""
        self.clients.pop(client.id, None)
        self.wheel.put(client, self.loop.time() + LINGER_S)

    def leave(self, client: Client) -> None:
        """Forget a connection whose socket is closed, and tell the core."""
        self.clients.pop(client.id, None)
        self.sockets -= 1
        self.wheel.drop(client)
        self.gone(client.id)

    def gone(self, connection_id: str) -> None:
        """Tell the core, best effort as on AWS; a few at a time, so that others get by."""
        if not self.settings.faults.drop_disconnect:
            self._left.append(connection_id)
            self._tell_core()

    def _tell_core(self) -> None:
        while self._left and self._leaving < _LEAVING_AT_ONCE:
            body = json.dumps({"connection_id": self._left.popleft(), "reason": "closed"}).encode()
            self._leaving += 1
            self._jobs.put(Job(Kind.DISCONNECT, (body,), self._told))

    def _told(self, _kind: int, _body: bytes) -> None:
        self._leaving -= 1
        self._tell_core()

    @property
    def leaving(self) -> int:
        """How many departures the core has not been told of yet."""
        return len(self._left) + self._leaving

    # -- messages in

    def take(self, client: Client, data: bytes) -> bool:
        """Bring a message to a worker; False asks to read no more until there is room."""

        def answer(kind: int, body: bytes) -> None:
            client.answered(kind, body, data)
            while self.crowd and self._jobs.waiting_bytes < self.settings.pending_bytes // 2:
                self.crowd.popleft().make_room()

        self._jobs.put(Job(Kind.MESSAGE, client.job(data), answer))
        return self._jobs.waiting_bytes < self.settings.pending_bytes

    # -- messages out

    def post(self, connection_id: str, data: bytes) -> Delivery:
        """Send one message to a connection that is here."""
        client = self.clients.get(connection_id)
        if client is None:
            return Delivery.GONE
        if len(data) > self.settings.max_message_bytes:
            return Delivery.TOO_LARGE
        return self._fault() or client.send(text_frame(data))

    def send(self, connection_id: str, data: bytes, done: Callable[[Delivery], None]) -> None:
        """Send one message, wherever its connection is; `done` gets the verdict."""
        verdict = self.post(connection_id, data)
        if verdict is not Delivery.GONE or self.relay is None:
            done(verdict)
            return

        def offered(undelivered: Mapping[str, int]) -> None:
            done(DELIVERIES[undelivered.get(connection_id, 0)])

        self.relay.offer(data, offered, {connection_id: DELIVERIES.index(verdict)})

    def send_many(
        self, ids: Sequence[str], data: bytes, done: Callable[[Mapping[str, int]], None]
    ) -> None:
        """Send the same message to many; `done` gets those that did not take it."""
        last = done if self.relay is None else partial(self.relay.offer, data, done)
        self._post_slice(ids, 0, text_frame(data), {}, last)

    def _post_slice(
        self,
        ids: Sequence[str],
        at: int,
        frame: bytes,
        undelivered: dict[str, int],
        done: Callable[[dict[str, int]], None],
    ) -> None:
        for connection_id in ids[at : at + _SLICE]:
            client = self.clients.get(connection_id)
            verdict = Delivery.GONE if client is None else self._fault() or client.send(frame)
            if verdict is not Delivery.DELIVERED:
                undelivered[connection_id] = DELIVERIES.index(verdict)
        at += _SLICE
        if at < len(ids):
            self.loop.call_soon(self._post_slice, ids, at, frame, undelivered, done)
        else:
            done(undelivered)

    def _fault(self) -> Delivery | None:
        faults = self.settings.faults
        if faults.answer is None:
            return None
        self._posts += 1
        if self._posts % faults.answer_every:
            return None
        return Delivery.GONE if faults.answer == 410 else Delivery.BUSY

    def is_open(self, connection_id: str, done: Callable[[bool], None]) -> None:
        """Tell whether a connection can be sent to, wherever it is."""
        if connection_id in self.clients or self.relay is None:
            done(connection_id in self.clients)
        else:
            self.relay.is_open(connection_id, done)

    def close(self, connection_id: str, code: int, reason: str) -> bool:
        """Close a connection that is here; False where there is none."""
        client = self.clients.get(connection_id)
        if client is not None:
            client.close(code, reason)
        return client is not None

    def hang_up(self, connection_id: str, code: int, reason: str) -> None:
        """Close a connection, wherever it is."""
        if not self.close(connection_id, code, reason) and self.relay is not None:
            self.relay.close(connection_id, code, reason)

    def dismiss_all(self, reconnect_after_ms: int) -> None:
        """Say goodbye to all, and take no more messages; sockets stay open for answers."""
        self.draining = True
        self._reconnect_after_ms = reconnect_after_ms
        for client in list(self.clients.values()):
            client.say_goodbye("drain", reconnect_after_ms)

    def close_all(self, code: int, reason: str) -> None:
        """Close all connections."""
        for client in list(self.clients.values()):
            client.close(code, reason)

    def describe(self) -> list[dict[str, Any]]:
        """Give the core's record of each open connection."""
        return [client.record() for client in self.clients.values()]
