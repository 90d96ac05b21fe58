"""What workers ask of the connections."""

import json

from streamer_plugin_local.hub import Hub
from streamer_plugin_local.process import WorkerProcess
from streamer_plugin_local.records import (
    Kind,
    Record,
    encode,
    encode_delivery,
    pair_up,
    split_long,
    split_short,
)


class Service:
    """Answers workers' records about connections.

    Args:
        hub: the connections.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def serve(self, worker: WorkerProcess, record: Record) -> None:
        """Do what a record asks, and answer it."""
        kind, number, body = record
        if kind == Kind.SEND:
            connection_id, data = split_short(body)
            verdict = self._hub.post(connection_id.decode(), data)
            worker.write(encode(Kind.RESULT, number, encode_delivery(verdict)))
        elif kind == Kind.SEND_EACH:
            verdicts = (
                self._hub.post(connection_id.decode(), data)
                for connection_id, data in pair_up(split_long(body))
            )
            answer = b"".join(map(encode_delivery, verdicts))
            worker.write(encode(Kind.RESULT, number, answer))
        elif kind == Kind.SEND_MANY:
            self._send_many(worker, number, body)
        elif kind == Kind.CLOSE:
            asked = json.loads(body)
            self._hub.close(asked["id"], asked["code"], asked["reason"])
        elif kind == Kind.IS_OPEN:
            is_open = body.decode() in self._hub.clients
            worker.write(encode(Kind.RESULT, number, bytes([is_open])))

    def _send_many(self, worker: WorkerProcess, number: int, body: bytes) -> None:
        end = 4 + int.from_bytes(body[:4], "little")
        self._hub.post_many(
            json.loads(body[end:]),
            body[4:end],
            lambda undelivered: worker.write(
                encode(Kind.RESULT, number, json.dumps(undelivered).encode())
            ),
        )
