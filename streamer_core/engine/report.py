"""What a running stored request reports: progress, chunks, checkpoints; stored, then sent.

```
handler thread   progress(): note it          emit(): buffer it       checkpoint(), full buffer, end
                      │                             │                            │
pulse thread          └── each 200 ms: send ────────┴── each 50 ms: flush        └── flush here
                          each second: keep             append → send
```
"""

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from streamer_core.context import KEEP
from streamer_core.engine.execution import Execution
from streamer_core.engine.followers import Followers
from streamer_core.engine.runtime import Runtime
from streamer_core.engine.snapshots import next_snapshot, plain, retrying
from streamer_core.errors import LostLease, StoreError, TooLarge
from streamer_core.model import encode
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.request import Request, Snapshot, Status
from streamer_core.model.update import Kind, NewUpdate
from streamer_core.ports import Held, Store

_ENVELOPE_BYTES = 512  # what a message adds around a chunk or a result: names, ids, numbers
_BUFFER_BYTES = 1024 * 1024  # a transaction of DynamoDB has 4 MB, also for an end behind it


class StoredExecution(Execution):
    """A claimed request while its handler runs.

    Two locks: `_lock` guards what the handler's thread and the pulse both touch, and is held for
    an instant; `_io` is held over a write and its sends, so that updates leave in order.
    """

    def __init__(self, rt: Runtime, handler: HandlerSpec, request: Request) -> None:
        super().__init__(rt, handler, request.principal, request.policy.timeout_ms)
        self.request = request
        self.attempt = request.attempt
        self._io = threading.RLock()
        self._chunks: list[NewUpdate] = []
        self._chunk_bytes = 0
        self._last_seq = request.last_seq
        self._out_bytes = request.out_bytes
        self.followers = Followers(rt, request)
        self._in_doubt = False
        self._snapshot = self._restored_snapshot()
        self._unsent: Snapshot | None = None
        self._unkept: Snapshot | None = None
        now = rt.clock.monotonic()
        self._progress_due = now
        self._keep_due = now + rt.settings.progress_keep / 1000
        self._flush_due = now
        self._heartbeat_due = now + rt.settings.heartbeat / 1000

    def _restored_snapshot(self) -> Snapshot:
        kept = self.request.progress
        if kept is not None and kept.attempt == self.attempt:
            return kept  # a continuation goes on where its attempt was
        return Snapshot(percentage=0, attempt=self.attempt, n=0)

    # -- the handler's side

    def progress(self, percentage: float, message: str, metadata: Mapping[str, Any] | None) -> None:
        """Take a snapshot; never blocks."""
        with self._lock:
            skipped = self._unsent is not None
            self._snapshot = self._unsent = self._unkept = next_snapshot(
                self._snapshot,
                percentage,
                message,
                metadata,
                after=self._last_seq + len(self._chunks),
                at=self.rt.clock.now(),
            )
        if skipped:
            self.rt.measure("progress.coalesced")
        if self.rt.clock.monotonic() >= self._progress_due:
            self.rt.pulse.soon()

    def emit(self, data: Any) -> None:
        """Take a chunk; a full buffer is flushed here."""
        value = plain(data, "chunk")
        size = len(encode.encode(value))
        if size + _ENVELOPE_BYTES > self.rt.settings.max_message_bytes:
            raise TooLarge("A piece of the output is larger than a message may be")
        chunk = NewUpdate(
            kind=Kind.CHUNK,
            attempt=self.attempt,
            body={"data": value},
            size=size + len('{"data":}'),
            at=self.rt.clock.now(),
        )
        with self._lock:
            if self.settled:
                return  # nobody would ever empty the buffer
            self._chunks.append(chunk)
            self._chunk_bytes += chunk.size
            full = len(self._chunks) >= self.rt.settings.chunk_buffer
            full = full or self._chunk_bytes >= _BUFFER_BYTES
        if full:
            self.flush()
        elif self.rt.clock.monotonic() >= self._flush_due:
            self.rt.pulse.soon()

    def checkpoint(self, state: Any) -> None:
        """Keep the state and all chunks before it."""
        self.flush(checkpoint=plain(state, "checkpoint"))

    # -- writing and sending

    def flush(self, checkpoint: Any = KEEP) -> None:
        """Store the buffered chunks, and the checkpoint behind them; then send them."""
        with self._io:
            self.settle_doubt()
            chunks, snapshot = self._unstored()
            if self.settled or not (chunks or checkpoint is not KEEP):
                return
            state = Store.unchanged if checkpoint is KEEP else checkpoint
            try:
                held = self.rt.store.append(
                    self.request.ref,
                    chunks,
                    fence=self.request.fence,
                    progress=snapshot,
                    checkpoint=state,
                )
            except LostLease:
                self._lose()
                raise
            except StoreError:
                self._in_doubt = True
                raise
            self._drop(chunks, snapshot)
            self._learn(held)
            self._flush_due = self.rt.clock.monotonic() + self.rt.settings.chunk_interval / 1000
            self.followers.tell(chunks, held.last_seq)

    def settle_doubt(self) -> None:
        """Find out whether a write that failed took effect; made again it would get new numbers."""
        if not self._in_doubt:
            return
        stored = self.rt.store.get(self.request.ref)
        self._in_doubt = False
        if stored and stored.status is Status.PROCESSING and stored.fence == self.request.fence:
            chunks, _ = self._unstored()
            done = chunks[: stored.last_seq - self._last_seq]
            self._drop(done, None)
            self._learn(Held.of(stored))
            self.followers.tell(done, stored.last_seq)

    def writing(self) -> AbstractContextManager[Any]:
        """Keep all other writes and sends of this request waiting."""
        return self._io

    def restart(self) -> None:
        """Tell clients to forget what the last attempt put out after its checkpoint."""
        with self._io:
            body = {"keep_through_seq": self.request.checkpoint_seq}
            update = encode.new_update(Kind.RESTART, self.attempt, body, self.rt.clock.now())
            held = self.rt.store.append(self.request.ref, [update], fence=self.request.fence)
            self._learn(held)
            self.followers.tell([update], held.last_seq)

    def known(self) -> Request:
        """Give the request with all that this run has stored of it, but for its progress."""
        with self._lock:
            return self.request.changed(last_seq=self._last_seq, out_bytes=self._out_bytes)

    def buffered(self) -> tuple[list[NewUpdate], Snapshot | None]:
        """Give what is buffered, and the newest snapshot, to whoever writes the run's end."""
        with self._lock:
            return list(self._chunks), (self._snapshot if self._snapshot.n else None)

    def forget_buffered(self) -> None:
        """Forget what is not stored yet: the next run starts at the checkpoint before it.

        Raises:
            StoreError: it cannot be found out what an earlier write has stored, and is to be sent.
        """
        self.settle_doubt()
        with self._lock:
            self._chunks.clear()
            self._chunk_bytes = 0
            self._snapshot = replace(
                self._snapshot, after=min(self._snapshot.after, self._last_seq)
            )
            self._unsent = self._unsent and self._snapshot

    def unsent(self) -> Snapshot | None:
        """Take the newest snapshot, where it was not sent yet."""
        with self._lock:
            snapshot, self._unsent = self._unsent, None
            return snapshot

    def _unstored(self) -> tuple[list[NewUpdate], Snapshot | None]:
        with self._lock:
            return list(self._chunks), self._unkept

    def _drop(self, chunks: list[NewUpdate], snapshot: Snapshot | None) -> None:
        with self._lock:
            del self._chunks[: len(chunks)]
            self._chunk_bytes -= sum([chunk.size for chunk in chunks])
            self._last_seq += len(chunks)
            if self._unkept is snapshot:
                self._unkept = None

    def _learn(self, held: Held) -> None:
        if not self._in_doubt:  # a heartbeat counts what `settle_doubt` has to find
            with self._lock:
                self._last_seq, self._out_bytes = held.last_seq, held.out_bytes
        if held.cancel_requested:
            self.stop("cancel")
        self.followers.learn(held.subscribers_version)

    def learn(self, held: Held) -> None:
        """Take in what a write told, whoever made it."""
        with self._io:
            self._learn(held)

    def _lose(self) -> None:
        self.take()
        self.stop("lost")

    # -- the pulse's side

    def tick(self, now: float) -> None:
        """Do what is due: timeout, chunks, progress, heartbeat, those who fell behind."""
        if self.settled:
            return
        if not self.ended and self.overdue(now):
            self.on_overdue()
            return
        try:
            with self._io:
                if not self.settled:
                    self._report(now)
        except LostLease:
            self._lose()

    def on_overdue(self) -> None:
        """Settle without the handler; set by whoever runs it."""

    def _report(self, now: float) -> None:
        if self._chunks and now >= self._flush_due:
            self.flush()
        if now >= self._progress_due and (self._unsent is not None or self.followers.lack_progress):
            self._send_newest(now)
        keep = self._unkept is not None and now >= self._keep_due
        if keep or now >= self._heartbeat_due:
            self._beat(now)
        if self.followers.behind:
            self.followers.catch_up()
        if self.followers.mark_is_due(now, self._last_seq):
            self.mark_sent(now)

    def _send_newest(self, now: float) -> None:
        snapshot = self.unsent()
        if snapshot is not None:
            self.followers.show(snapshot)
        else:
            self.followers.show_newest()
        self._progress_due = now + self.rt.settings.progress_interval / 1000

    def _beat(self, now: float) -> None:
        with self._lock:
            snapshot = self._unkept
        lease_until = self.rt.clock.now() + self.rt.settings.lease
        held = self.rt.store.heartbeat(
            self.request.ref,
            fence=self.request.fence,
            lease_until=lease_until,
            progress=snapshot,
        )
        self._drop([], snapshot)
        self._learn(held)
        self._heartbeat_due = now + self.rt.settings.heartbeat / 1000
        self._keep_due = now + self.rt.settings.progress_keep / 1000

    def mark_sent(self, now: float) -> None:
        """Note how far everybody has been sent to."""
        self.followers.mark_sent(now, self._last_seq)

    def retrying(self, due_at: int) -> Snapshot:
        """Give the attempt's last snapshot: another attempt follows."""
        with self._lock:
            self._snapshot = retrying(
                self._snapshot, attempt=self.attempt, due_at=due_at, at=self.rt.clock.now()
            )
            return self._snapshot
