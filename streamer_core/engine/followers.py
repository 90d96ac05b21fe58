"""Who follows a running request, and how far each of them was sent to.

```
ready      was sent all so far: gets the next message when it is stored
behind     was busy: gets what it lacks from the store, in order, before anything else
gone       gets nothing more
```
"""

from collections.abc import Sequence

from streamer_core.engine import deliver
from streamer_core.engine.runtime import Runtime
from streamer_core.errors import StoreError
from streamer_core.model import encode
from streamer_core.model.call import Outgoing
from streamer_core.model.ids import request_subject
from streamer_core.model.request import ORIGIN_ALONE, Request, Snapshot
from streamer_core.model.update import NewUpdate

_SENT_MARK_S = 2.0
_UNKNOWN_VERSION = -1  # no version of any request: the store has to be asked


class Followers:
    """Those of one request, while it runs here; whoever sends holds `StoredExecution.writing`.

    Attributes:
        behind: who was busy, and the number of the last message that it has.
    """

    def __init__(self, rt: Runtime, request: Request) -> None:
        self.rt = rt
        self._request = request
        self._newest_version = request.subscribers_version
        self._connections, self._version = _known(request)
        self.behind: dict[str, int] = {}
        # What follows this number somebody may lack who is not behind: it was stored and its worker
        # could not send it, or did not know to whom.
        self._lacked: int | None = None
        if request.sent_seq < request.last_seq:
            self._lacked = request.sent_seq
        self._told = request.last_seq
        # The newest that was sent, and who lacks it: they were behind or busy, or came later.
        self._shown: Snapshot | None = None
        self._unshown: set[str] = set()
        self._marked = request.sent_seq
        self._mark_due = rt.clock.monotonic() + _SENT_MARK_S

    # -- sending

    @property
    def ready(self) -> list[str]:
        """Who has been sent everything so far."""
        return [one for one in self._connections if one not in self.behind]

    def tell(self, updates: Sequence[NewUpdate], last_seq: int) -> None:
        """Send what was just stored; who is busy catches up from the store later."""
        for seq, message in self.messages(updates, last_seq):
            self.send(message, seq)

    def messages(self, updates: Sequence[NewUpdate], last_seq: int) -> list[tuple[int, Outgoing]]:
        """Give the messages of what was just stored, each with its number; observers are told."""
        stored = encode.numbered(updates, last_seq)
        self._told = last_seq
        if stored:
            self.rt.tell("streamer_on_update", request=self._request, updates=stored)
        return [(one.seq, encode.update(self._request, self._request.ref, one)) for one in stored]

    def send(self, message: Outgoing, seq: int) -> None:
        """Send one of those messages to whoever is ready."""
        self.fell_behind(self._sent(message, self.ready), seq)

    def fell_behind(self, busy: Sequence[str], seq: int) -> None:
        """Note who did not take a message: from there on the store is read for them."""
        self.behind.update(dict.fromkeys(busy, seq - 1))

    def catch_up(self) -> None:
        """Send those who were busy what they lack, from the store."""
        for connection_id, seq in list(self.behind.items()):
            still = deliver.send_stored(self.rt, self._request, [connection_id], after=seq)
            del self.behind[connection_id]
            self.behind.update(still)

    def _sent(self, message: Outgoing, connections: list[str]) -> list[str]:
        """Send a message; give who was busy. Who is gone gets no other."""
        gone: set[str] = set()
        busy = deliver.send(self.rt, message, connections, gone)
        if gone:
            self._connections = [one for one in self._connections if one not in gone]
        return busy

    # -- progress, of which only the newest counts

    @property
    def lack_progress(self) -> bool:
        """Whether somebody has not taken the newest snapshot."""
        return bool(self._unshown)

    def show(self, snapshot: Snapshot) -> None:
        """Send a snapshot to whoever takes it; the others get the newest once they do."""
        self._shown, self._unshown = snapshot, set(self._connections)
        self.show_newest()

    def show_newest(self) -> None:
        """Send it to those who lack it, but for whoever lacks chunks before it."""
        ready = [one for one in self.ready if one in self._unshown]
        if self._shown is not None and ready:
            now, request = self.rt.clock.now(), self._request
            message = encode.progress(now, request, request.ref, self._shown)
            self._unshown.difference_update(ready)
            self._unshown.update(self._sent(message, ready))

    # -- who they are

    def learn(self, version: int) -> None:
        """Take the version of the list that a write told, and read the list where it is new."""
        self._newest_version = version
        if version != self._version:
            self._read()

    def begin(self) -> None:
        """Find out who they are, before the first message."""
        if self._newest_version != self._version:
            self._read()
        else:
            self._have_all_catch_up()

    def distrust(self) -> None:
        """Take what the record says of them for old: somebody has just subscribed."""
        self._version = _UNKNOWN_VERSION

    def _read(self) -> None:
        try:
            found = self.rt.store.subscribers(request_subject(self._request.ref))
        except StoreError:
            # What is written is written. The next write tries again; nothing counts as sent so far.
            self.rt.log.warning("subscribers could not be read", ref=self._request.ref)
            self._lacked = self._told if self._lacked is None else self._lacked
            return
        if self._shown is not None:  # else the first is sent to them as to all others
            newcomers = set(found).difference(self._connections)
            self._unshown = (self._unshown | newcomers).intersection(found)
        self._connections = list(found)
        self._version = self._newest_version
        self._have_all_catch_up()

    def _have_all_catch_up(self) -> None:
        """Read the store for everybody, where somebody may lack what the others were sent."""
        if self._lacked is not None:
            for one in self._connections:
                self.behind[one] = min(self._lacked, self.behind.get(one, self._lacked))
            self._lacked = None

    # -- how far all were sent to, for whoever goes on after this process

    def mark_is_due(self, now: float, last_seq: int) -> bool:
        """Tell whether it is to be noted, at a monotonic time."""
        return now >= self._mark_due and last_seq > self._marked

    def mark_sent(self, now: float, last_seq: int) -> None:
        """Note how far everybody has been sent to, of what is stored."""
        self._mark_due = now + _SENT_MARK_S
        if self._version != self._newest_version:
            return  # somebody may lack what the others were sent
        lacked = [] if self._lacked is None else [self._lacked]
        self._marked = min([last_seq, *lacked, *self.behind.values()])
        deliver.mark_sent(self.rt, self._request.ref, self._marked)


def _known(request: Request) -> tuple[list[str], int]:
    """Give who follows a request by its record alone, and the version that is true for."""
    if request.subscribers_version == 0:
        return [], 0
    if request.subscribers_version == ORIGIN_ALONE and request.connection_id is not None:
        return [request.connection_id], ORIGIN_ALONE
    return [], _UNKNOWN_VERSION
