"""Threads that take turns, so that quick work costs no thread switch and slow work stalls nobody.

One thread holds the baton: it waits for work and does it, one piece after the other (leader and
followers: Schmidt et al., "Leader/Followers", 2000). Where a piece takes long, the baton passes to
another thread, and the slow one goes on by itself:

```
A  wait─work─work─wait─work~~~~~~~~~~~~~~~~~~~~~~~~~done─parked
B  parked                    └─baton─wait─work─work─wait─…
```
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SLOW_S = 0.010
"""A piece of work that takes longer loses the baton."""

SLOW_AGAIN_S = 0.004
"""The same for `_ALERT_S` after that happened: slow work seldom comes alone."""

_ALERT_S = 1.0
_LOOKS_BEFORE_SLEEP = 50


class _Member:
    __slots__ = ("may_go",)

    def __init__(self) -> None:
        self.may_go = threading.Lock()
        self.may_go.acquire()


class Crew:
    """A bounded number of threads and one baton.

    Args:
        turn: waits for work in `waiting`, or calls `begin`, does one piece, calls `end`. Called
            again and again by the thread that holds the baton.
        size: how many threads there may be.
        changed: called when the last thread has become busy (True), or one is free again (False).
        passed: called when the baton passes while work is under way.
        slow_s: how long a piece may take before the baton is passed.
    """

    def __init__(
        self,
        turn: Callable[[], None],
        *,
        size: int,
        changed: Callable[[bool], None] = lambda _full: None,
        passed: Callable[[], None] = lambda: None,
        slow_s: float = SLOW_S,
    ) -> None:
        self._turn = turn
        self._size = size
        self._changed = changed
        self._passed = passed
        self._slow_s = slow_s
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        self._parked: list[_Member] = []
        self._total = 0
        self._threads: list[threading.Thread] = []
        self._holder: _Member | None = None
        self._begun: float | None = None
        self._waits = False
        self._alert_until = 0.0
        self._looking = threading.Event()
        self._asleep = False
        self._local = threading.local()
        self._stopped = False

    def start(self) -> None:
        """Begin with one thread, and the monitor."""
        with self._lock:
            self._hire()
            self._begin_thread(self._monitor, "streamer-monitor")

    def stop(self) -> None:
        """Let no thread take another turn; pieces under way go on."""
        self._stopped = True

    @property
    def busy(self) -> int:
        """How many threads neither wait for work nor are parked."""
        with self._lock:
            return self._total - len(self._parked) - self._waits

    @property
    def broken(self) -> bool:
        """Whether a thread of it has died, with the baton perhaps: nobody would take a turn.

        No thread can be relied on to say so as it dies: without memory Python cannot even call
        `threading.excepthook`.
        """
        with self._lock:
            return not all(thread.is_alive() for thread in self._threads)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Have the holder wait for work in this; it has nothing in its hands that must be done."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False

    def begin(self) -> None:
        """Say that the holder found work: from now on its time counts."""
        self._begun = time.monotonic()
        if self._asleep:
            self._looking.set()

    def end(self) -> bool:
        """Say that the piece is done; tells whether this thread still holds the baton."""
        with self._lock:
            if self._holder is not self._local.member:
                return False
            self._begun = None
            return True

    def pass_on(self) -> None:
        """Give the baton away before something that may block; nothing if it is not ours."""
        member = getattr(self._local, "member", None)
        if member is None:
            return
        with self._lock:
            if self._holder is not member or self._begun is None:
                return
            full = self._hand_over()
        if full:
            self._tell()

    def _tell(self) -> None:
        # Two threads may come here in the other order than they changed it: both say what is.
        with self._telling:
            self._changed(self._holder is None)

    def _hand_over(self) -> bool:
        self._begun = None
        self._passed()
        if self._parked:
            self._holder = self._parked.pop()
            self._holder.may_go.release()
        elif self._total < self._size:
            self._hire()
        else:
            self._holder = None
            return True
        return False

    def _hire(self) -> None:
        # The baton is the new thread's before it runs, or it would park itself.
        self._holder = member = _Member()
        member.may_go.release()
        self._total += 1
        self._begin_thread(self._serve, f"streamer-{self._total}", member)

    def _begin_thread(self, target: Callable[..., None], name: str, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name=name, daemon=True)
        self._threads.append(thread)  # before it starts: it may fail to
        thread.start()

    def _serve(self, member: _Member) -> None:
        self._local.member = member
        while True:
            member.may_go.acquire()
            while self._holder is member and not self._stopped:
                self._turn()
            if self._stopped:
                self._leave(member)
                return
            self._park(member)

    def _park(self, member: _Member) -> None:
        with self._lock:
            nobody = self._holder is None
            if nobody:
                self._holder = member
                member.may_go.release()
            else:
                self._parked.append(member)
        if nobody:
            self._tell()

    def _leave(self, member: _Member) -> None:
        with self._lock:
            self._total -= 1
            self._threads.remove(threading.current_thread())
            if self._holder is member:
                self._holder = None
                self._begun = None

    def _monitor(self) -> None:
        quiet = 0
        while True:
            time.sleep(self._look())
            quiet = quiet + 1 if self._begun is None else 0
            if quiet > _LOOKS_BEFORE_SLEEP:
                self._sleep()
                quiet = 0

    def _look(self) -> float:
        """Pass the baton where it is time; give how long to wait before the next look."""
        full = False
        with self._lock:
            now = time.monotonic()
            alert = now < self._alert_until
            limit = min(self._slow_s, SLOW_AGAIN_S) if alert else self._slow_s
            if self._begun is not None and now - self._begun >= limit:
                full = self._hand_over()
                self._alert_until = now + _ALERT_S
        if full:
            self._tell()
        return limit

    def _sleep(self) -> None:
        self._looking.clear()
        self._asleep = True
        if self._begun is None:
            self._looking.wait()
        self._asleep = False
