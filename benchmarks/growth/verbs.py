"""The store's verbs, timed as one caller has them, by turns, while the size stays what it is."""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from benchmarks.options import Options
from streamer_core.model.encode import new_update
from streamer_core.model.ids import ref_of
from streamer_core.model.message import Priority
from streamer_core.model.request import Request, Status
from streamer_core.model.update import Kind
from streamer_core.ports import Clock, Store

LANES = (Priority.HIGH, Priority.NORMAL, Priority.LOW)
LEASE_MS, KEEP_MS = 3_600_000, 7 * 86_400_000
TENANTS, USERS = 10, 20
THREADS = 16


class Verbs:
    """Makes requests of many tenants and users, and takes them through their lives.

    Args:
        store: whose verbs they are.
        clock: the store's.
        options: how many of each verb one measurement has.
    """

    def __init__(self, store: Store, clock: Clock, options: Options) -> None:
        self._store = store
        self._clock = clock
        self._rounds, self._batch = options.size((15, 20), (3, 5))
        self._numbers = count()
        self._run = clock.new_id()

    def request(self, *, age_ms: int = 0) -> Request:
        """Make one that is not stored yet."""
        number = next(self._numbers)
        tenant, user = owner(number)
        made_at = self._clock.now() - age_ms
        return Request(
            ref=ref_of(tenant, user, f"{self._run}-{number}"),
            id=f"{self._run}-{number}",
            action="noop",
            tenant=tenant,
            user=user,
            payload={"text": "x" * 120},
            digest="0" * 64,
            created_at=made_at,
            due_at=made_at,
        )

    def wait(self, many: int) -> None:
        """Enqueue so many, untimed."""
        in_threads(many, lambda: self._store.enqueue(self.request()))

    def finished(self, many: int, *, age_ms: int) -> None:
        """Take so many from their enqueue to their end, untimed; the first are the oldest."""
        ages = count(age_ms, -1)

        def live() -> None:
            request = self.request(age_ms=next(ages))
            lease = self._clock.now() + LEASE_MS
            self._store.enqueue(request, worker="benchmark", lease_until=lease)
            self._finish(request, fence=1)
            self._store.mark_sent(request.ref, 1)

        in_threads(many, live)

    def costs(self) -> dict[str, float]:
        """Give what a verb costs in µs: the median of batches' means.

        As many are claimed and finished as are enqueued, so that the size stays what it is.
        """
        self._turn()  # caches are those of another size, or empty
        turns = [self._turn() for _ in range(self._rounds)]
        return {verb: statistics.median(turn[verb] for turn in turns) for verb in turns[0]}

    def _turn(self) -> dict[str, float]:
        fresh = [self.request() for _ in range(self._batch)]
        claimed: list[Request] = []

        def claim() -> None:
            lease = self._clock.now() + LEASE_MS
            request = self._store.claim_next(LANES, worker="benchmark", lease_until=lease)
            assert request is not None, "as many wait as were enqueued"
            claimed.extend(request)

        costs = {
            "enqueue": timed(len(fresh), lambda: self._store.enqueue(fresh.pop())),
            "claim": timed(self._batch, claim),
        }
        running = iter(claimed)

        def finish() -> None:
            request = next(running)
            self._finish(request, fence=request.fence)

        costs["finish"] = timed(self._batch, finish)
        for request in claimed:
            self._store.mark_sent(request.ref, 1)
        self._store.check()  # writes the notes of what was sent
        return costs

    def _finish(self, request: Request, *, fence: int) -> None:
        now = self._clock.now()
        end = new_update(Kind.COMPLETE, 1, {"result": None}, now)
        self._store.finish(
            request.ref, Status.COMPLETED, [end], fence=fence, expires_at=now + KEEP_MS
        )


def owner(number: int) -> tuple[str, str]:
    """Give tenant and user of the request of this number."""
    user = number % USERS
    return f"tenant-{user % TENANTS}", f"user-{user}"


def typical(batches: int, times: int, call: Callable[[], object]) -> float:
    """Give what a call costs in µs: the median of batches' means."""
    return statistics.median(timed(times, call) for _ in range(batches))


def timed(times: int, call: Callable[[], object]) -> float:
    """Call so many times; give what one costs in µs."""
    began = time.perf_counter()
    for _ in range(times):
        call()
    return 1e6 * (time.perf_counter() - began) / times


def in_threads(times: int, call: Callable[[], object]) -> None:
    """Call so many times, by several threads: the store makes their writes durable in groups."""
    share, rest = divmod(times, THREADS)

    def loop(own: int) -> None:
        for _ in range(own):
            call()

    with ThreadPoolExecutor(THREADS) as crew:
        for done in [crew.submit(loop, share + (n < rest)) for n in range(THREADS)]:
            done.result()
