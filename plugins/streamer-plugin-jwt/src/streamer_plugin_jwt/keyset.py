"""The keys of one issuer, as they are now: read once, or fetched again and again.

```
age of the set   0 ............ refresh ............ stale
                 used as it is  | used, and fetched   | not used any more: 503
an unknown kid:  fetched at once, but a minute after the last try at the earliest
```
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from streamer_core.errors import Unavailable
from streamer_core.log import get_logger
from streamer_core.ports import Clock
from streamer_core.records import record
from streamer_plugin_jwt.keys import BadKey, Key
from streamer_plugin_jwt.sources import Unreadable

Load = Callable[[], Sequence[Key]]

_AGAIN_MS = 60_000
"""A set that serves is fetched again at most each minute, whatever kids tokens name."""

_MOST_UNDER_WAY = 3
"""The one that is waited for, and those that nobody waits for any more: of a server that drips."""


class Good(NamedTuple):
    """A set that could be fetched, and when that began, by both clocks."""

    keys: Sequence[Key]
    at: int
    at_s: float


@record
class State:
    """How a key set is: whether it serves, whether it does so though it cannot be fetched."""

    ok: bool
    said: str
    degraded: bool = False


class KeySet(ABC):
    """Gives the keys that a token may be checked with."""

    @abstractmethod
    def keys(self, kid: str | None) -> Sequence[Key]:
        """Give all keys; of a set that is fetched, one that has the kid if there is such a set.

        Raises:
            Unavailable: there are none now.
        """

    @abstractmethod
    def state(self, wait_s: float) -> State:
        """Tell how it is. One that is not there, or old, is fetched: for so long is it waited."""

    def find(self, kid: str | None, algorithm: str) -> Sequence[Key]:
        """Give the keys that a token with this header may be signed with; none where none may.

        A kid that no key has may be that of a key without one.
        """
        keys = self.keys(kid)
        of_kid = [key for key in keys if kid is not None and key.kid == kid]
        if kid is not None and not of_kid:
            of_kid = [key for key in keys if key.kid is None]
        those = keys if kid is None else of_kid
        return [key for key in those if algorithm in key.algorithms]


class Fixed(KeySet):
    """Keys that never change, read with the first token.

    Args:
        name: the issuer's, for sentences.
        load: reads them; raises BadKey.
    """

    def __init__(self, name: str, load: Load) -> None:
        self._name, self._load = name, load
        self._keys: Sequence[Key] | None = None

    def keys(self, kid: str | None) -> Sequence[Key]:  # noqa: ARG002 - what is there is all
        """Give all keys."""
        if self._keys is None:
            try:
                self._keys = self._load()
            except BadKey as error:
                get_logger().error("keys cannot be read", issuer=self._name, problem=str(error))
                raise Unavailable("The keys cannot be read") from None
        return self._keys

    def state(self, wait_s: float) -> State:  # noqa: ARG002 - nothing is fetched
        """Tell how it is; reads the keys."""
        try:
            count = len(self.keys(None))
        except Unavailable:
            return State(ok=False, said=f"{self._name}: the keys cannot be read")
        return State(ok=True, said=f"{self._name}: {count} fixed")


class Fetched(KeySet):
    """Keys that are fetched: one fetch at a time, while all others use the last good set.

    Args:
        name: the issuer's, for sentences.
        load: fetches them; raises BadKey and Unreadable.
        clock: tells the time.
        refresh_ms: how old the set may be before it is fetched again.
        stale_ms: how long it serves while it cannot be.
        timeout_s: how long anybody waits for a fetch.
    """

    def __init__(
        self,
        name: str,
        load: Load,
        clock: Clock,
        *,
        refresh_ms: int,
        stale_ms: int,
        timeout_s: float,
    ) -> None:
        self._name, self._load, self._clock = name, load, clock
        self._refresh_ms, self._stale_ms, self._timeout_s = refresh_ms, stale_ms, timeout_s
        self._lock = threading.Lock()
        self._good: Good | None = None
        self._number = self._ended_number = self._alive = 0
        self._tried_at: int | None = None
        self._under_way: threading.Event | None = None
        self._problem = ""

    def keys(self, kid: str | None) -> Sequence[Key]:
        """Give the last good set; one that is old, or lacks the kid, is fetched first if it may be.

        Raises:
            Unavailable: there is none.
        """
        keys = self._usable()
        is_missing = not keys or (kid is not None and all(key.kid != kid for key in keys))
        if is_missing or self._is_old():
            self._fetch(self._timeout_s, join=is_missing)
        if not (keys := self._usable()):
            raise Unavailable("The keys cannot be fetched", retry_after_ms=self._pause_ms())
        return keys

    def state(self, wait_s: float) -> State:
        """Tell how it is. One that is not there, or old, is fetched: for so long is it waited."""
        if self._is_old():
            self._fetch(min(wait_s, self._timeout_s), join=True)
        problem = f"; {self._problem}" if self._problem else ""
        if self._good is None:
            return State(ok=not problem, said=f"{self._name}: not fetched yet{problem}")
        good, ok = self._good, bool(self._usable())
        age_s = int(self._age_ms(good)) // 1000
        said = f"{self._name}: {len(good.keys)} fetched {age_s} s ago{problem}"
        return State(ok=ok, degraded=ok and bool(problem), said=said)

    def _usable(self) -> Sequence[Key]:
        good = self._good
        return good.keys if good and self._age_ms(good) < self._stale_ms else ()

    def _age_ms(self, good: Good) -> float:
        # The time of day may be set back; the other clock may stand still in a frozen process.
        elapsed_s = self._clock.monotonic() - good.at_s
        return max(self._clock.now() - good.at, 1000 * elapsed_s)

    def _is_old(self) -> bool:
        return self._good is None or self._passed(self._good.at, self._refresh_ms)

    def _passed(self, since: int, ms: int) -> bool:
        # A clock that was set back must not make a set young for years.
        return not since <= self._clock.now() < since + ms

    def _fetch(self, wait_s: float, *, join: bool) -> None:
        """Fetch, unless somebody does or did a moment ago.

        Whoever begins waits for it; with `join` whoever finds it under way does too.
        """
        with self._lock:
            if self._may_try():
                self._begin()
                join = True
            under_way = self._under_way
        if join and under_way is not None and not under_way.wait(wait_s):
            with self._lock:
                if self._under_way is under_way and self._is_late(wait_s):
                    self._problem = "the fetch takes too long"

    def _is_late(self, waited_s: float) -> bool:
        """Tell whether the fetch under way takes too long: not by a wait that was short itself."""
        timeout_s, began = self._timeout_s, self._tried_at or 0
        return waited_s >= timeout_s or self._passed(began, round(1000 * timeout_s))

    def _may_try(self) -> bool:
        if self._tried_at is None:
            return True
        return self._alive < _MOST_UNDER_WAY and self._passed(self._tried_at, self._pause_ms())

    def _pause_ms(self) -> int:
        """Give how long after a try the next may begin: the first one is over by then."""
        return _AGAIN_MS if self._usable() else round(2000 * self._timeout_s)

    def _begin(self) -> None:
        """Fetch in a thread of its own: not all that it waits for is bounded."""
        self._tried_at = self._clock.now()
        self._alive += 1
        self._number += 1
        self._under_way = ended = threading.Event()
        arguments = (self._number, self._tried_at, self._clock.monotonic(), ended)
        threading.Thread(
            target=self._run, args=arguments, name="streamer-jwt-keys", daemon=True
        ).start()

    def _run(self, number: int, at: int, at_s: float, ended: threading.Event) -> None:
        keys: Sequence[Key] = ()
        problem = ""
        try:
            keys = self._load()
        except (BadKey, Unreadable) as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - a fetch fails in many ways, and must end
            problem = type(error).__name__
        with self._lock:
            self._alive -= 1
            if number > self._ended_number:  # else a later one has overtaken it
                self._ended_number, self._problem = number, problem
                self._good = self._good if problem else Good(keys, at, at_s)
            if self._under_way is ended:
                self._under_way = None
        try:
            if problem:  # said before whoever waits for it is refused
                get_logger().warning("keys cannot be fetched", issuer=self._name, problem=problem)
        finally:
            ended.set()
