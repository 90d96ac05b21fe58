"""A sync request while its handler runs: what it reports is sent at once and kept nowhere."""

import threading
from collections.abc import Mapping
from typing import Any

from streamer_core.engine import deliver
from streamer_core.engine.execution import Execution, context_of
from streamer_core.engine.outcome import Done, Failed, Outcome
from streamer_core.engine.runtime import Runtime
from streamer_core.engine.snapshots import next_snapshot, plain
from streamer_core.errors import HandlerTimeout, TooLarge, Unavailable, Unserializable
from streamer_core.model import encode
from streamer_core.model.call import Call, Outgoing
from streamer_core.model.connection import Connection
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.ids import ref_of
from streamer_core.model.message import Message, Mode
from streamer_core.model.request import Failure, Snapshot
from streamer_core.model.update import Kind, Update

_NOTHING_YET = Snapshot(percentage=0, n=0)


class LiveExecution(Execution):
    """Reports to the one connection that waits for the answer."""

    def __init__(
        self, rt: Runtime, handler: HandlerSpec, connection: Connection, message: Message
    ) -> None:
        timeout_ms = min(handler.policy.timeout_ms, rt.sync_limit)
        super().__init__(rt, handler, connection.principal, timeout_ms)
        self._message = message
        self._connection_id = connection.id
        self._ref = ref_of(connection.principal.tenant, connection.principal.user, message.id)
        self._seq = 0
        self._snapshot = _NOTHING_YET
        self._unsent: Snapshot | None = None
        self._progress_due = 0.0
        self._outcome = "completed"
        self._send = threading.Lock()
        self._last_word: Outgoing | None = None
        self._sending_last = threading.Lock()

    def call(self, payload: Any) -> Call:
        """Describe the run to the hooks."""
        message = self._message
        return Call(
            handler=self.handler,
            principal=self.principal,
            mode=Mode.SYNC,
            request_id=message.id,
            ref=self._ref,
            metadata=message.metadata,
            payload=payload,
            size=message.size,
            context=context_of(
                self, request_id=message.id, ref=self._ref, metadata=message.metadata
            ),
            on_enter=self.entered,
            on_stop=self.on_stop,
        )

    # -- the handler's side

    def progress(self, percentage: float, message: str, metadata: Mapping[str, Any] | None) -> None:
        """Take a snapshot; the pulse sends the newest."""
        with self._lock:
            skipped = self._unsent is not None
            self._snapshot = self._unsent = next_snapshot(
                self._snapshot,
                percentage,
                message,
                metadata,
                after=self._seq,
                at=self.rt.clock.now(),
            )
        if skipped:
            self.rt.measure("progress.coalesced")
        if self.rt.clock.monotonic() >= self._progress_due:
            self.rt.pulse.soon()

    def emit(self, data: Any) -> None:
        """Send a chunk."""
        value = plain(data, "chunk")
        with self._send:
            chunk = Update(
                seq=self._seq + 1,
                kind=Kind.CHUNK,
                attempt=1,
                body={"data": value},
                at=self.rt.clock.now(),
            )
            message = encode.update(self._message, self._ref, chunk)
            if len(message.data) > self.rt.settings.max_message_bytes:
                raise TooLarge("A piece of the output is larger than a message may be")
            if self.settled:
                return
            # Nobody could send it again: a number is only spent on what was taken.
            if not deliver.send_patiently(self.rt, message, self._connection_id):
                raise Unavailable("The client does not take the output")
            self._seq += 1

    def stop(self, reason: str) -> None:
        """Ask the handler to stop; a worker that goes lets it end, it will not be long."""
        if reason != "drain":
            super().stop(reason)

    def checkpoint(self, state: Any) -> None:
        """Do nothing: a sync request has no second attempt."""

    # -- the pulse's side

    def tick(self, now: float) -> None:
        """Send the newest snapshot; answer for a handler that outlived its time."""
        if self.settled:
            self._send_last_word()
        elif self.overdue(now):
            self._answer_for_it(HandlerTimeout(f"{self.handler.action} outlived its timeout"))
        elif self._unsent is not None and now >= self._progress_due:
            self._send_newest()
            self._progress_due = now + self.rt.settings.progress_interval / 1000

    def _send_newest(self) -> None:
        for message in self._unsent_progress():
            deliver.send(self.rt, message, [self._connection_id])

    def _unsent_progress(self) -> list[Outgoing]:
        """Take the newest snapshot, where it was not sent yet."""
        if self._unsent is None:
            return []
        with self._lock:
            snapshot, self._unsent = self._unsent, None
        if snapshot is None:
            return []
        return [encode.progress(self.rt.clock.now(), self._message, self._ref, snapshot)]

    def release(self) -> None:
        """Answer for the handler: its worker goes."""
        self._answer_for_it(Unavailable("The server is about to stop; send it again"))

    def _answer_for_it(self, error: Exception) -> None:
        with self._sending_last:
            if not self.take():
                return
            self._last_word = self._error(self.failed(error).failure)
        self._measure()
        self._send_newest()
        self._send_last_word()

    def _send_last_word(self) -> None:
        with self._sending_last:
            word = self._last_word
            if word and not deliver.send(self.rt, word, [self._connection_id]):
                self._last_word = None

    def last_word(self) -> tuple[bytes, ...]:
        """Take what was said in the handler's stead, where the client has not taken it yet."""
        with self._sending_last:
            word, self._last_word = self._last_word, None
        return (word.data,) if word else ()

    # -- the answer

    def answer_to(self, outcome: Outcome) -> tuple[bytes, ...]:
        """Give the frames that end the request: the newest progress is never left out."""
        newest = tuple(message.data for message in self._unsent_progress())
        match outcome:
            case Done(value=value):
                frames = (*newest, *self._response(value))
            case Failed(failure=failure):
                frames = (*newest, self._error(failure).data)
            case _:
                raise AssertionError(f"a sync request cannot end as {outcome}")
        self._measure()
        return frames

    def _measure(self) -> None:
        """Measure the answer, whoever gave it."""
        if self.rt.measuring:
            took_ms = (self.rt.clock.monotonic() - self.began) * 1000
            tags = {"action": self.handler.action, "outcome": self._outcome}
            self.rt.measure("request.answered", took_ms, "ms", tags)

    def _response(self, value: Any) -> tuple[bytes, ...]:
        try:
            message = encode.response(self.rt.clock.now(), self._message.id, value)
        except ValueError as error:
            return (self._error(self.failed(Unserializable(f"result: {error}")).failure).data,)
        if len(message.data) > self.rt.settings.max_message_bytes:
            too_large = TooLarge("The result is larger than a message may be")
            return (self._error(self.failed(too_large).failure).data,)
        return (message.data,)

    def _error(self, failure: Failure) -> Outgoing:
        self._outcome = "rejected" if "." in failure.code else "failed"
        with self._send:
            self._seq += 1
            end = Update(
                seq=self._seq,
                kind=Kind.ERROR,
                attempt=1,
                body={"error": encode.failure_body(failure)},
                at=self.rt.clock.now(),
            )
            return encode.update(self._message, self._ref, end)
