"""A worker that answers messages: the thread that reads them also runs them."""

import json
import threading
import time
from collections import deque
from functools import lru_cache
from typing import Any

from streamer_core.engine.received import Received
from streamer_core.engine.submit import Storing
from streamer_core.errors import Refused
from streamer_core.model.codec import connection_from_plain, connection_to_plain
from streamer_core.model.connection import Connection, Handshake
from streamer_core.model.handler import HandlerSpec
from streamer_plugin_local.crew import Crew
from streamer_plugin_local.records import (
    Kind,
    Record,
    encode,
    encode_done,
    encode_json,
    split_short,
)
from streamer_plugin_local.usual import Usual
from streamer_plugin_local.worker_base import BaseWorker, drawn

THREADS = 64
"""How many messages may be under way in one process; the gateway hands it no more."""

_FLUSH_S = 0.001
_SLOW_S = 0.005
"""A handler that takes longer is not waited for with the messages behind it."""


class SyncWorker(BaseWorker):
    """Reads batches, runs them in order in one thread while they are quick, and answers.

    Requests to be stored are kept until the batch is through, and stored in one write.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._inbox: deque[Record] = deque()
        self._storing: deque[tuple[int, Storing]] = deque()
        self._answers: list[bytes] = []
        self._flushed = 0.0
        self._usual = Usual()
        self._running = threading.local()
        # One more than there are messages: who has the baton reads what all others may wait for.
        self.crew = Crew(self._turn, size=THREADS + 1)

    def run(self) -> None:
        """Serve until told to end."""
        self.crew.start()
        super().run()

    def running(self) -> int:
        """How many messages have not been answered yet."""
        return self.crew.busy + len(self._inbox) + len(self._storing)

    def drain(self, drain_s: float) -> None:
        """Answer what was read before; the app refuses what it takes once it drains."""
        began = time.monotonic()
        self.wait(lambda: time.monotonic() - began >= drain_s / 2)
        super().drain(drain_s - (time.monotonic() - began))

    def about_to_block(self) -> None:
        """Let another thread go on with the messages behind this one."""
        self.crew.pass_on()

    def about_to_run(self, handler: HandlerSpec) -> None:
        """Let the messages behind go on, where this one takes long or waits for the disk."""
        self._running.action = handler.action
        usual_s = self._usual.of(handler.action, handler.estimated_ms / 1000)
        if usual_s >= _SLOW_S or handler.idempotent:
            self.crew.pass_on()

    def _turn(self) -> None:
        try:
            if self._inbox:
                self._take(self._inbox.popleft())
            elif self._storing:
                self._store()
            else:
                self._flush()
                with self.crew.waiting():
                    records = self.channel.read()
                self._inbox.extend(filter(self._is_work, records))
        except BaseException:  # the app answers for everything a handler does: this is a bug
            self.crash()
            raise

    def _take(self, record: Record) -> None:
        self.crew.begin()
        self._running.action = None
        began = time.monotonic()
        answer = self._answered(record)
        if self._running.action is not None:
            self._usual.learn(self._running.action, time.monotonic() - began)
        if self.crew.end():
            if isinstance(answer, bytes):
                self._answer(answer)
            else:
                self._storing.append(answer)
        elif isinstance(answer, bytes):
            self.channel.write(answer)
        else:
            # Whoever has the baton now may be waiting.
            self.channel.write(*self._stored([answer]))

    def _store(self) -> None:
        self.crew.begin()
        answers = self._stored(drawn(self._storing))
        if self.crew.end():
            self._answer(*answers)
        else:
            self.channel.write(*answers)

    def _answer(self, *answers: bytes) -> None:
        """Keep answers a moment, so that many share a system call."""
        self._answers.extend(answers)
        if not self._inbox or time.monotonic() - self._flushed >= _FLUSH_S:
            self._flush()

    def _flush(self) -> None:
        if self._answers:
            answers, self._answers = self._answers, []
            self.channel.write(*answers)
            self._flushed = time.monotonic()

    def _is_work(self, record: Record) -> bool:
        return not self.control(record)

    def _answered(self, record: Record) -> bytes | tuple[int, Storing]:
        kind, number, body = record
        if kind == Kind.MESSAGE:
            return self._receive(number, body)
        # These write to the store, which waits for the disk.
        self.crew.pass_on()
        return self._connect(number, body) if kind == Kind.CONNECT else self._leave(number, body)

    def _receive(self, number: int, body: bytes) -> bytes | tuple[int, Storing]:
        plain, data = split_short(body)
        taken = self.app.take(_connection(plain), data)
        return (number, taken) if isinstance(taken, Storing) else _encoded(number, taken)

    def _stored(self, those: list[tuple[int, Storing]]) -> list[bytes]:
        received = self.app.store_all([storing for _, storing in those])
        return [_encoded(number, one) for (number, _), one in zip(those, received, strict=True)]

    def _connect(self, number: int, body: bytes) -> bytes:
        try:
            connection = self.app.connect(Handshake(**json.loads(body)))
        except Refused as error:
            refusal = {
                "status": error.http_status,
                "code": error.code,
                "message": error.message,
                "retry_after_ms": error.retry_after_ms,
            }
            return encode_json(Kind.REFUSED, number, refusal)
        return encode_json(Kind.ACCEPTED, number, connection_to_plain(connection))

    def _leave(self, number: int, body: bytes) -> bytes:
        self.app.disconnect(**json.loads(body))
        return encode(Kind.DONE, number)


def _encoded(number: int, received: Received) -> bytes:
    if received.connection is None and received.close is None:
        return encode_done(number, received.frames)
    extras: dict[str, Any] = {}
    if received.connection is not None:
        extras["connection"] = connection_to_plain(received.connection)
    if received.close is not None:
        extras["close"] = received.close
    return encode_done(number, received.frames, json.dumps(extras).encode())


@lru_cache(maxsize=16_384)
def _connection(plain: bytes) -> Connection:
    return connection_from_plain(json.loads(plain))
