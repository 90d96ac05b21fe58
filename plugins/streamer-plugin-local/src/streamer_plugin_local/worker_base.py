"""What both kinds of worker share: signs of life, answers from the gateway, and the end."""

import json
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from streamer_core.model.handler import HandlerSpec
from streamer_plugin_local.channel import EX_SOFTWARE, Questions, WorkerChannel, leave
from streamer_plugin_local.crew import Crew
from streamer_plugin_local.records import Kind, Record, encode, encode_json

T = TypeVar("T")

_BEAT_S = 1.0
_END_LOOK_S = 0.02
_LAST_ANSWERS_S = 1.0


class BaseWorker(ABC):
    """One worker process, once its app is started.

    Args:
        app: the `streamer_core.app.Streamer`.
        channel, questions: the way to the gateway.
    """

    crew: Crew

    def __init__(self, app: Any, channel: WorkerChannel, questions: Questions) -> None:
        self.app = app
        self.channel = channel
        self.questions = questions
        self.retiring = False
        self._told = threading.Event()
        self._drain_s: float | None = None

    @abstractmethod
    def running(self) -> int:
        """How many calls are under way, those outlived by their timeout included."""

    def broken(self) -> bool:
        """Whether a thread that others wait for has died without a word, for want of memory."""
        pulse: bool = self.app.runtime.pulse.broken
        return pulse or self.crew.broken

    def about_to_block(self) -> None:  # noqa: B027 - only those who read are waited for
        """Called in a thread that is about to wait."""

    def about_to_run(self, handler: HandlerSpec) -> None:  # noqa: B027 - only messages wait behind
        """Called in a thread that is about to run a handler for a message."""

    def report_due(self, due_at: int) -> None:
        """Tell the gateway of a request that is due, now or at a time."""
        self.channel.write(encode(Kind.DUE, 0, due_at.to_bytes(8, "little")))

    def stop_taking(self) -> None:  # noqa: B027 - the gateway gives it nothing more
        """Take nothing new."""

    def give_back(self) -> None:  # noqa: B027 - nothing waits in a worker that only answers
        """Let others have what was taken and has not begun."""

    def control(self, record: Record) -> bool:
        """Act on a record that is no work; tells whether it was one."""
        kind, number, body = record
        if kind == Kind.RESULT:
            self.questions.answered(number, body)
        elif kind == Kind.RETIRE:
            self._drain_s = json.loads(body)
            self.retiring = True
            self.stop_taking()
            self._told.set()
        else:
            return False
        return True

    def run(self) -> None:
        """Show signs of life until told to end; then end when the work is done."""
        while not self._told.wait(_BEAT_S):
            self._look()
            state = {"busy": self.running(), "zombies": self.app.zombies()}
            self.channel.write(encode_json(Kind.STATE, 0, state))
        self._finish()

    def _finish(self) -> None:
        self.give_back()
        # A worker that is only replaced lets its work take the time it takes, until told otherwise.
        self.wait(lambda: self._drain_s is not None)
        if self._drain_s is not None:
            self.drain(self._drain_s)
        self.app.close()
        self.channel.finish()

    def drain(self, drain_s: float) -> None:
        """Have running work end in this time, or without it."""
        deadline = time.monotonic() + drain_s + _LAST_ANSWERS_S
        self.app.drain(drain_s)
        self.wait(lambda: time.monotonic() >= deadline)

    def wait(self, enough: Callable[[], bool]) -> None:
        """Wait until nothing is under way any more, or it is enough."""
        while self._live() and not enough():
            self._look()
            time.sleep(_END_LOOK_S)

    def _look(self) -> None:
        """End the process where it is of no use any more: without its gateway, or deaf."""
        if self.channel.gateway_gone():
            leave()
        if self.broken():
            leave(EX_SOFTWARE)

    def _live(self) -> int:
        # Counted in this order: a zombie that ends in between may not hide one that works.
        running = self.running()
        zombies: int = self.app.zombies()
        return max(0, running - zombies)

    def crash(self) -> None:
        """End the process over an error that nobody should have let through."""
        try:
            traceback.print_exc(file=sys.stderr)
        finally:
            leave(EX_SOFTWARE)


def drawn(those: deque[T]) -> list[T]:
    """Take all there are; what several threads draw from goes to one of them each."""
    taken: list[T] = []
    with suppress(IndexError):
        while True:
            taken.append(those.popleft())
    return taken
