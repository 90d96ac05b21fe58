"""What workers, and other gateways, ask of the connections."""

import json
from collections.abc import Callable
from functools import partial
from typing import Protocol

from streamer_core.ports import Delivery
from streamer_plugin_local.hub import Hub
from streamer_plugin_local.records import (
    Kind,
    Record,
    encode,
    encode_delivery,
    pair_up,
    split_long,
    split_short,
)


class Asker(Protocol):
    """Who asks."""

    def write(self, record: bytes) -> None:
        """Take the answer."""


class Service:
    """Answers records about connections.

    Args:
        hub: the connections.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def serve(self, asker: Asker, record: Record) -> None:
        """Do what a record asks, and answer it."""
        kind, number, body = record

        def answer(result: bytes) -> None:
            asker.write(encode(Kind.RESULT, number, result))

        if kind == Kind.SEND:
            connection_id, data = split_short(body)
            self._hub.send(
                connection_id.decode(), data, lambda verdict: answer(encode_delivery(verdict))
            )
        elif kind == Kind.SEND_EACH:
            self._send_each(body, answer)
        elif kind == Kind.SEND_MANY:
            end = 4 + int.from_bytes(body[:4], "little")
            self._hub.send_many(
                json.loads(body[end:]),
                body[4:end],
                lambda undelivered: answer(json.dumps(undelivered).encode()),
            )
        elif kind == Kind.CLOSE:
            asked = json.loads(body)
            self._hub.hang_up(asked["id"], asked["code"], asked["reason"])
        elif kind == Kind.IS_OPEN:
            self._hub.is_open(body.decode(), lambda is_open: answer(bytes([is_open])))

    def _send_each(self, body: bytes, answer: Callable[[bytes], None]) -> None:
        """Send messages in order; the answer waits for those that other gateways deliver."""
        messages = list(pair_up(split_long(body)))
        verdicts: dict[int, bytes] = {}

        def done(place: int, verdict: Delivery) -> None:
            verdicts[place] = encode_delivery(verdict)
            if len(verdicts) == len(messages):
                answer(b"".join(verdicts[i] for i in range(len(messages))))

        for place, (connection_id, data) in enumerate(messages):
            self._hub.send(connection_id.decode(), data, partial(done, place))
