"""A worker's end of the socket pair: blocking reads, writes from any thread."""

import itertools
import os
import select
import socket
import threading
import time
from collections.abc import Callable

from streamer_core.errors import TransportError
from streamer_plugin_local.records import Kind, Record, Splitter, encode

_READ_BYTES = 256 * 1024
_ANSWER_S = 30.0
_FINISH_S = 1.0
_FINISH_LOOK_S = 0.001
EX_SOFTWARE = 70
"""The exit code of sysexits.h for an error of the program itself."""


class WorkerChannel:
    """Reads and writes records.

    Writers combine: while one is in the system call the others only queue, and it writes theirs
    next. So the first goes out at once, and under load one call carries many.

    Args:
        sock: this process's end.
        lost: called where the gateway is gone; it must not return.
    """

    def __init__(self, sock: socket.socket, lost: Callable[[], None]) -> None:
        sock.setblocking(True)
        self._sock = sock
        self._lost = lost
        self._splitter = Splitter()
        # `recv` would take as much from the heap each time, and give most of it back at once: what
        # is allocated between leaves holes.
        self._room = memoryview(bytearray(_READ_BYTES))
        self._lock = threading.Lock()
        self._queue: list[bytes] = []
        self._writing = False

    def read(self) -> list[Record]:
        """Wait for records; perhaps none are complete yet. One thread at a time."""
        try:
            size = self._sock.recv_into(self._room)
        except OSError:
            size = 0
        data = bytes(self._room[:size])
        if not data:
            self._lost()
        return self._splitter.feed(data)

    def write(self, *records: bytes) -> None:
        """Send records, or leave them to the thread that is sending just now."""
        with self._lock:
            self._queue.extend(records)
            if self._writing:
                return
            self._writing = True
        try:
            while batch := self._next():
                self._sock.sendall(b"".join(batch))
        except OSError:
            self._lost()
        except BaseException:
            # Want of memory: nobody else writes what waits, and half a record may be out.
            leave(EX_SOFTWARE)
            raise

    def finish(self) -> None:
        """Wait until what threads have left to another is sent; a second at most."""
        deadline = time.monotonic() + _FINISH_S
        while self._writing and time.monotonic() < deadline:
            time.sleep(_FINISH_LOOK_S)

    def gateway_gone(self) -> bool:
        """Tell whether the other end is closed, without reading."""
        poll = select.poll()
        poll.register(self._sock, select.POLLHUP)
        return bool(poll.poll(0))

    def _next(self) -> list[bytes]:
        with self._lock:
            batch, self._queue = self._queue, []
            self._writing = bool(batch)
            return batch


class Questions:
    """Questions from any thread to the gateway, and its answers.

    Args:
        channel: where they are asked; whoever reads it hands the `RESULT`s to `answered`.
    """

    def __init__(self, channel: WorkerChannel) -> None:
        self.before_waiting: Callable[[], None] = lambda: None
        """Called before a thread waits, so that another can read meanwhile."""
        self._channel = channel
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Answer] = {}

    def ask(self, kind: Kind, *parts: bytes) -> bytes:
        """Send a record and wait for its result.

        Raises:
            TransportError: the gateway did not answer in time.
        """
        number = next(self._numbers) & 0xFFFFFFFF
        answer = self._waiting[number] = _Answer()
        self.before_waiting()
        self._channel.write(encode(kind, number, *parts))
        try:
            return answer.wait(_ANSWER_S)
        finally:
            del self._waiting[number]

    def answered(self, number: int, body: bytes) -> None:
        """Hand a result to whoever waits for it."""
        if answer := self._waiting.get(number):
            answer.set(body)


class _Answer:
    """One answer; a lock instead of an Event, which would cost four objects a question."""

    __slots__ = ("_body", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._body = b""

    def set(self, body: bytes) -> None:
        self._body = body
        self._lock.release()

    def wait(self, timeout_s: float) -> bytes:
        if not self._lock.acquire(timeout=timeout_s):
            raise TransportError(f"the gateway did not answer within {timeout_s:.0f} s")
        return self._body


def leave(code: int = 0) -> None:
    """End this process at once: its threads cannot be waited for."""
    os._exit(code)
