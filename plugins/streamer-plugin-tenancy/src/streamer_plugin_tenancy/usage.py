"""What tenants have used, for each action and hour.

Of stored requests it is exact: counts that are taken by the write that stores a request, and
settled by the one that ends it. Of requests that are answered at once it is gathered here and
written now and then: a process that is killed loses what it had not written.

```
usage/<tenant>/<hour>/<action>/<what>/<shard>    counters; `d…` are those of what was gathered
usage_of/<tenant>/<day>/<hour>/<action>          values: what there is to be read
```
A busy tenant's counters are spread over shards, by the request's id, or a process's chance: none is
hot.
"""

import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Literal

from streamer_core.errors import Conflict, StoreError
from streamer_core.log import get_logger
from streamer_core.model.call import Call
from streamer_core.model.counter import Count
from streamer_core.model.ids import tenant_key
from streamer_core.model.message import Message
from streamer_core.ports import Clock, Store
from streamer_core.records import record
from streamer_core.scope import TenantScope

HOUR_MS = 3_600_000
DAY_HOURS = 24
WHAT = ("requests", "seconds", "messages", "bytes")
_SHARDS = 16
_GATHERED = "d"
_MOST_AT_ONCE = 80  # counts of one write: DynamoDB takes 100 items in a transaction
_MOST_OF_A_DAY = 100_000
_MOST_NOTED = 10_000

Per = Literal["second", "update", "byte"] | None
Cell = tuple[str, int, str]
"""Tenant, hour counted from 1970, action."""


@record
class Used:
    """What a tenant has used of one action in one hour.

    Args:
        tenant, action: whose, and of what.
        hour: its beginning, Unix ms.
        stored: of requests that were stored: exact. By what is counted: `requests`, `seconds`,
            `messages`, `bytes`.
        at_once: of requests answered at once: gathered.
    """

    tenant: str
    action: str
    hour: int
    stored: dict[str, float]
    at_once: dict[str, float]

    def total(self, what: str) -> float:
        """Give both together."""
        return self.stored[what] + self.at_once[what]


class Usage:
    """Counts, gathers and reads usage.

    Args:
        store, clock: where it is kept, and what time it is.
        keep_ms: for how long.
        flush_s: how long what is gathered may wait to be written.
    """

    def __init__(self, store: Store, clock: Clock, *, keep_ms: int, flush_s: float) -> None:
        self._store = store
        self.clock = clock
        self._keep_ms = keep_ms
        self._flush_s = flush_s
        self._own_shard = f"{_GATHERED}{int(clock.random() * _SHARDS)}"
        self._noted: set[Cell] = set()
        self._lock = threading.Lock()
        self._gathered: dict[Cell, list[float]] = {}  # requests, seconds, bytes
        self._due = 0.0
        self._closing = threading.Event()
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    # -- of stored requests

    def counts(self, tenant: str, request: Message) -> list[Count]:
        """Give what is counted of a request that is about to be stored."""
        cell = tenant, self._hour(), request.action
        self._note(cell)
        shard = str(zlib.crc32(request.id.encode("utf-8", "surrogatepass")) % _SHARDS)
        return [
            self._count(cell, "requests", shard),
            self._count(cell, "bytes", shard, request.size),
            self._count(cell, "seconds", shard, per="second"),
            self._count(cell, "messages", shard, per="update"),
            self._count(cell, "bytes", shard, per="byte"),
        ]

    def _count(
        self, cell: Cell, what: str, shard: str, amount: float = 1, per: Per = None
    ) -> Count:
        tenant, hour, action = cell
        return Count(
            key=tenant_key("usage", tenant, str(hour), action, what, shard),
            amount=amount,
            per=per,
            expires_at=self._end_of(hour),
        )

    def _note(self, cell: Cell) -> None:
        """Note what there is to be read: once in each process, before it is counted."""
        if cell in self._noted:
            return
        tenant, hour, action = cell
        key = tenant_key("usage_of", tenant, *_place(hour), action)
        if self._store.get_value(key) is None:
            with suppress(Conflict):  # many processes begin an hour at the same time
                self._store.put_value(key, None, expires_at=self._end_of(hour), version=0)
        if len(self._noted) >= _MOST_NOTED:
            self._noted.clear()
        self._noted.add(cell)

    def _end_of(self, hour: int) -> int:
        return (hour + 1) * HOUR_MS + self._keep_ms

    def _hour(self) -> int:
        return self.clock.now() // HOUR_MS

    # -- of requests that are answered at once

    def gathering(self, call: Call) -> "AtOnce":
        """Surround a request that is answered, and add it at its end."""
        return AtOnce(self, call)

    def gather(self, tenant: str, action: str, *, seconds: float, size: int) -> None:
        """Add a request that was answered."""
        cell = tenant, self.clock.now() // HOUR_MS, action
        with self._lock:
            amounts = self._gathered.get(cell)
            if amounts is None:
                amounts = self._first_of(cell)
            amounts[0] += 1
            amounts[1] += seconds
            amounts[2] += size
        if self._thread is None:
            self._begin()

    def _first_of(self, cell: Cell) -> list[float]:
        if not self._gathered:
            self._due = self.clock.monotonic() + self._flush_s
            self._wanted.set()
        amounts = self._gathered[cell] = [0.0, 0.0, 0.0]
        return amounts

    def flush(self, *, due_only: bool = False) -> None:
        """Write what was gathered; what the store does not take is lost, never counted twice."""
        with self._lock:
            if due_only and self.clock.monotonic() < self._due:
                return
            gathered, self._gathered = self._gathered, {}
            self._wanted.clear()
        if not gathered:
            return
        try:
            with TenantScope(None):
                self._write(gathered)
        except StoreError:
            get_logger().exception("usage could not be written", cells=len(gathered))

    def _write(self, gathered: dict[Cell, list[float]]) -> None:
        counts = []
        for cell, (requests, seconds, size) in gathered.items():
            self._note(cell)
            # Each has one message: its answer.
            amounts = zip(WHAT, (requests, seconds, requests, size), strict=True)
            counts += [
                self._count(cell, what, self._own_shard, amount)
                for what, amount in amounts
                if amount
            ]
        for first in range(0, len(counts), _MOST_AT_ONCE):
            self._store.count(counts[first : first + _MOST_AT_ONCE])

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(
                    target=self._flush_now_and_then, name="streamer-usage", daemon=True
                )
                self._thread.start()

    def _flush_now_and_then(self) -> None:
        while not self._closing.is_set():
            self._wanted.wait()
            self._closing.wait(self._flush_s)
            self.flush()

    def close(self) -> None:
        """Write what was gathered, and end."""
        self._closing.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self.flush()

    # -- reading

    def read(self, tenant: str, since: int, until: int) -> list[Used]:
        """Give what a tenant used in the hours that begin in [`since`, `until`), in order."""
        now = self.clock.now()
        first = -(-max(since, now - self._keep_ms - HOUR_MS) // HOUR_MS)
        last = -(-min(until, now + HOUR_MS) // HOUR_MS)
        with TenantScope(None):
            return [
                self._used(cell)
                for day in range(first // DAY_HOURS, (last - 1) // DAY_HOURS + 1)
                for cell in self._cells(tenant, day)
                if first <= cell[1] < last
            ]

    def _cells(self, tenant: str, day: int) -> Iterator[Cell]:
        prefix = tenant_key("usage_of", tenant, f"{day:07d}", "")
        for key in self._store.values(prefix, _MOST_OF_A_DAY):
            hour_of_day, _, action = key.removeprefix(prefix).partition("/")
            yield tenant, day * DAY_HOURS + int(hour_of_day), action

    def _used(self, cell: Cell) -> Used:
        tenant, hour, action = cell
        return Used(
            tenant=tenant,
            action=action,
            hour=hour * HOUR_MS,
            stored=self._levels(cell, ""),
            at_once=self._levels(cell, _GATHERED),
        )

    def _levels(self, cell: Cell, kind: str) -> dict[str, float]:
        shards = [f"{kind}{number}" for number in range(_SHARDS)]
        asked = [self._count(cell, what, shard, 0) for what in WHAT for shard in shards]
        levels = iter(self._store.count(asked).levels)
        return {what: sum(islice(levels, _SHARDS)) for what in WHAT}


class AtOnce:
    """Times a request that is answered at once; a context manager."""

    __slots__ = ("_began", "_call", "_usage")

    def __init__(self, usage: Usage, call: Call) -> None:
        self._usage = usage
        self._call = call

    def __enter__(self) -> None:
        self._began = self._usage.clock.monotonic()

    def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
        seconds = self._usage.clock.monotonic() - self._began
        call = self._call
        self._usage.gather(
            call.principal.tenant, call.handler.action, seconds=seconds, size=call.size
        )


def _place(hour: int) -> Sequence[str]:
    """Give day and hour of the day, so that a day's keys have one beginning, and are in order."""
    return f"{hour // DAY_HOURS:07d}", f"{hour % DAY_HOURS:02d}"
