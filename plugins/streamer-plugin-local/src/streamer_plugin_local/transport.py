"""The transport: a worker process asks the gateway, which holds the sockets."""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from streamer_core.errors import TransportError
from streamer_core.ports import Delivery, Transport
from streamer_plugin_local.channel import Questions, WorkerChannel
from streamer_plugin_local.records import DELIVERIES, Kind, encode_json, long, short

if TYPE_CHECKING:
    from streamer_plugin_local.hub import Hub

T = TypeVar("T")
_LOOP_S = 30.0


class ChannelTransport(Transport):
    """Sends through the gateway; each send waits for its verdict, many share a system call.

    Args:
        questions: how the gateway is asked.
        channel: for what needs no answer.
        max_message_bytes: the longest message it carries.
    """

    def __init__(
        self, questions: Questions, channel: WorkerChannel, max_message_bytes: int
    ) -> None:
        self.max_message_bytes = max_message_bytes
        self._questions = questions
        self._channel = channel

    def send(self, connection_id: str, data: bytes) -> Delivery:
        """Send one message; raises TransportError where the gateway does not answer."""
        if len(data) > self.max_message_bytes:
            return Delivery.TOO_LARGE
        answer = self._questions.ask(Kind.SEND, short(connection_id.encode()), data)
        return DELIVERIES[answer[0]]

    def send_many(self, connection_ids: Sequence[str], data: bytes) -> Mapping[str, Delivery]:
        """Send the same message to many: one record, and the answer names those that differ."""
        if len(connection_ids) == 1:
            return {connection_ids[0]: self.send(connection_ids[0], data)}
        if len(data) > self.max_message_bytes:
            return dict.fromkeys(connection_ids, Delivery.TOO_LARGE)
        ids = json.dumps(list(connection_ids)).encode()
        # The ids may be longer than a short part holds: the message stands first.
        answer = self._questions.ask(Kind.SEND_MANY, len(data).to_bytes(4, "little"), data, ids)
        verdicts = dict.fromkeys(connection_ids, Delivery.DELIVERED)
        for connection_id, index in json.loads(answer).items():
            verdicts[connection_id] = DELIVERIES[index]
        return verdicts

    def send_each(self, messages: Sequence[tuple[str, bytes]]) -> Sequence[Delivery]:
        """Send many messages, each to its own connection: one record, and one answer."""
        if len(messages) == 1:
            return [self._tried(*messages[0])]
        fit = [len(data) <= self.max_message_bytes for _, data in messages]
        parts = [
            long(part)
            for (connection_id, data), fits in zip(messages, fit, strict=True)
            if fits
            for part in (connection_id.encode(), data)
        ]
        answers = iter(self._questions.ask(Kind.SEND_EACH, *parts) if parts else b"")
        return [DELIVERIES[next(answers)] if fits else Delivery.TOO_LARGE for fits in fit]

    def close_connection(self, connection_id: str, code: int = 1000, reason: str = "") -> None:
        """Close a connection; one that is gone is no error."""
        self._channel.write(
            encode_json(Kind.CLOSE, 0, {"id": connection_id, "code": code, "reason": reason})
        )

    def is_open(self, connection_id: str) -> bool:
        """Tell whether the connection can still be sent to."""
        return self._questions.ask(Kind.IS_OPEN, connection_id.encode()) == b"\x01"


class HubTransport(Transport):
    """The transport of the gateway process itself, for its other threads.

    Args:
        hub: the connections; everything is done on its event loop.
    """

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self.max_message_bytes = hub.settings.max_message_bytes

    def send(self, connection_id: str, data: bytes) -> Delivery:
        """Send one message; raises TransportError where the event loop does not answer."""
        if len(data) > self.max_message_bytes:
            return Delivery.TOO_LARGE
        verdict: Delivery = self._on_loop(partial(self._hub.send, connection_id, data))
        return verdict

    def send_many(self, connection_ids: Sequence[str], data: bytes) -> Mapping[str, Delivery]:
        """Send the same message to many at once."""
        if len(data) > self.max_message_bytes:
            return dict.fromkeys(connection_ids, Delivery.TOO_LARGE)
        undelivered: Mapping[str, int] = self._on_loop(
            partial(self._hub.send_many, connection_ids, data)
        )
        return {one: DELIVERIES[undelivered.get(one, 0)] for one in connection_ids}

    def close_connection(self, connection_id: str, code: int = 1000, reason: str = "") -> None:
        """Close a connection; one that is gone is no error."""
        self._hub.loop.call_soon_threadsafe(self._hub.hang_up, connection_id, code, reason)

    def is_open(self, connection_id: str) -> bool:
        """Tell whether the connection can still be sent to."""
        found: bool = self._on_loop(partial(self._hub.is_open, connection_id))
        return found

    def _on_loop(self, action: Callable[[Callable[[T], None]], None]) -> T:
        future: Future[T] = Future()
        self._hub.loop.call_soon_threadsafe(action, future.set_result)
        try:
            return future.result(_LOOP_S)
        except TimeoutError:
            raise TransportError("the gateway's event loop does not answer") from None
