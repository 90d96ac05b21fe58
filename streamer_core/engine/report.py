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
from streamer_core.engine import deliver
from streamer_core.engine.execution import Execution
from streamer_core.engine.runtime import Runtime
from streamer_core.engine.snapshots import next_snapshot, plain, retrying
from streamer_core.errors import LostLease, StoreError, TooLarge
from streamer_core.model import encode
from streamer_core.model.call import Outgoing
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.ids import request_subject
from streamer_core.model.request import ORIGIN_ALONE, Request, Snapshot, Status
from streamer_core.model.update import Kind, NewUpdate
from streamer_core.ports import Held, Store

_ENVELOPE_BYTES = 512  # what a message adds around a chunk or a result: names, ids, numbers
_BUFFER_BYTES = 1024 * 1024  # a transaction of DynamoDB has 4 MB, also for an end behind it
_SENT_MARK_S = 2.0
_UNKNOWN_VERSION = -1  # no version of any request: the store has to be asked


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
        self._newest_version = request.subscribers_version
        self._subscribers, self._subscribers_version = _known_subscribers(request)
        self._behind: dict[str, int] = {}
        # What follows this number somebody may lack who is not behind: it was stored and its worker
        # could not send it, or did not know to whom.
        self._lacked: int | None = None
        if request.sent_seq < request.last_seq:
            self._lacked = request.sent_seq
        self._told = request.last_seq
        self._in_doubt = False
        self._snapshot = self._restored_snapshot()
        self._unsent: Snapshot | None = None
        self._unkept: Snapshot | None = None
        # The newest that was sent, and who lacks it: they were behind or busy, or came later.
        self._shown: Snapshot | None = None
        self._unshown: set[str] = set()
        now = rt.clock.monotonic()
        self._progress_due = now
        self._keep_due = now + rt.settings.progress_keep / 1000
        self._flush_due = now
        self._heartbeat_due = now + rt.settings.heartbeat / 1000
        self._mark_due = now + _SENT_MARK_S
        self._marked = request.sent_seq

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
            self.send_updates(chunks, held.last_seq)

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
            self.send_updates(done, stored.last_seq)

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
            self.send_updates([update], held.last_seq)

    def send_updates(self, updates: list[NewUpdate], last_seq: int) -> None:
        """Send what was just stored; who is busy catches up from the store later."""
        for seq, message in self.messages(updates, last_seq):
            self.send_update(message, seq)

    def send_update(self, message: Outgoing, seq: int) -> None:
        """Send one of those messages to whoever is ready."""
        self.fell_behind(self._send(message, self.ready), seq)

    def _send(self, message: Outgoing, connections: list[str]) -> list[str]:
        """Send a message; give who was busy. Who is gone gets no other."""
        gone: set[str] = set()
        busy = deliver.send(self.rt, message, connections, gone)
        if gone:
            self._subscribers = [one for one in self._subscribers if one not in gone]
        return busy

    def messages(self, updates: list[NewUpdate], last_seq: int) -> list[tuple[int, Outgoing]]:
        """Give the messages of what was just stored, each with its number; observers are told."""
        stored = encode.numbered(updates, last_seq)
        self._told = last_seq
        if stored:
            self.rt.tell("streamer_on_update", request=self.request, updates=stored)
        return [(one.seq, encode.update(self.request, self.request.ref, one)) for one in stored]

    def fell_behind(self, busy: list[str], seq: int) -> None:
        """Note who did not take a message: from there on the store is read for them."""
        self._behind.update(dict.fromkeys(busy, seq - 1))

    @property
    def ready(self) -> list[str]:
        """Who has been sent everything so far."""
        return [one for one in self._subscribers if one not in self._behind]

    def send_progress(self, snapshot: Snapshot) -> None:
        """Send a snapshot to whoever takes it; the others get the newest once they do."""
        self._shown, self._unshown = snapshot, set(self._subscribers)
        self._show()

    def _show(self) -> None:
        """Send the newest snapshot to those who lack it, but for whoever lacks chunks before it."""
        ready = [one for one in self.ready if one in self._unshown]
        if self._shown is not None and ready:
            now, request = self.rt.clock.now(), self.request
            message = encode.progress(now, request, request.ref, self._shown)
            self._unshown.difference_update(ready)
            self._unshown.update(self._send(message, ready))

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
        self._newest_version = held.subscribers_version
        if self._newest_version != self._subscribers_version:
            self._read_subscribers()

    def _read_subscribers(self) -> None:
        try:
            found = self.rt.store.subscribers(request_subject(self.request.ref))
        except StoreError:
            # What is written is written. The next write tries again; nothing counts as sent so far.
            self.rt.log.warning("subscribers could not be read", ref=self.request.ref)
            self._lacked = self._told if self._lacked is None else self._lacked
            return
        if self._shown is not None:  # else the first is sent to them as to all others
            newcomers = set(found).difference(self._subscribers)
            self._unshown = (self._unshown | newcomers).intersection(found)
        self._subscribers = list(found)
        self._subscribers_version = self._newest_version
        self._have_all_catch_up()

    def _have_all_catch_up(self) -> None:
        """Read the store for everybody, where somebody may lack what the others were sent."""
        if self._lacked is not None:
            for one in self._subscribers:
                self._behind[one] = min(self._lacked, self._behind.get(one, self._lacked))
            self._lacked = None

    def ask_who_follows(self) -> None:
        """Take what the record says of its followers for old: somebody has just subscribed."""
        self._subscribers_version = _UNKNOWN_VERSION

    def learn_subscribers(self) -> None:
        """Find out who follows the request, before the first message."""
        with self._io:
            if self._newest_version != self._subscribers_version:
                self._read_subscribers()
            else:
                self._have_all_catch_up()

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
        if now >= self._progress_due and (self._unsent is not None or self._unshown):
            self._send_newest(now)
        keep = self._unkept is not None and now >= self._keep_due
        if keep or now >= self._heartbeat_due:
            self._beat(now)
        if self._behind:
            self.catch_up()
        if now >= self._mark_due and self._last_seq > self._marked:
            self.mark_sent(now)

    def _send_newest(self, now: float) -> None:
        snapshot = self.unsent()
        if snapshot is not None:
            self.send_progress(snapshot)
        else:
            self._show()
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

    def catch_up(self) -> None:
        """Send those who were busy what they lack, from the store."""
        for connection_id, seq in list(self._behind.items()):
            still = deliver.send_stored(self.rt, self.request, [connection_id], after=seq)
            del self._behind[connection_id]
            self._behind.update(still)

    def mark_sent(self, now: float) -> None:
        """Note how far everybody has been sent to."""
        self._mark_due = now + _SENT_MARK_S
        if self._subscribers_version != self._newest_version:
            return  # somebody may lack what the others were sent
        lacked = [] if self._lacked is None else [self._lacked]
        self._marked = min([self._last_seq, *lacked, *self._behind.values()])
        deliver.mark_sent(self.rt, self.request.ref, self._marked)

    @property
    def behind(self) -> bool:
        """Whether some connection has not taken all there is."""
        return bool(self._behind)

    def retrying(self, due_at: int) -> Snapshot:
        """Give the attempt's last snapshot: another attempt follows."""
        with self._lock:
            self._snapshot = retrying(
                self._snapshot, attempt=self.attempt, due_at=due_at, at=self.rt.clock.now()
            )
            return self._snapshot


def _known_subscribers(request: Request) -> tuple[list[str], int]:
    """Give who follows a request by its record alone, and the version that is true for."""
    if request.subscribers_version == 0:
        return [], 0
    if request.subscribers_version == ORIGIN_ALONE and request.connection_id is not None:
        return [request.connection_id], ORIGIN_ALONE
    return [], _UNKNOWN_VERSION
