"""The database's size: what the store's verbs cost while it keeps so many finished requests."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, cycle
from pathlib import Path

from streamer_plugin_sqlite import SqliteStore

from benchmarks.growth import fill
from benchmarks.growth.series import Curve
from benchmarks.growth.verbs import USERS, Verbs, owner, typical
from benchmarks.options import Options
from benchmarks.report import Report
from streamer_core.model.request import Status
from streamer_core.ports import Query, Store, SystemClock

SIZES, QUICK_SIZES = (1_000, 10_000, 100_000, 300_000, 1_000_000), (100, 300, 1_000)
LIVED, QUICK_LIVED = 10_000, 300
"""So many are taken through their lives by the store's verbs; the others are copies of them."""
READS = 300

VERBS = ("enqueue", "claim", "finish", "get")
NEWEST, FAILED = "newest 50 of a user", "a user's failed ones"
"""All have ended well: who looks for failed ones finds none, however far he looks."""


def measure(_report: Report, options: Options) -> Curve:
    """Fill it step by step."""
    curve = Curve(
        name="database", title="Finished requests in the database", along="finished requests"
    )
    costs = {name: curve.each(name) for name in VERBS}
    costs[NEWEST] = curve.each(NEWEST, panel="µs a list")
    costs[FAILED] = curve.total(FAILED, unit="µs", panel="µs a list with a filter")
    stored = curve.total("database", unit="MB", panel="database, MB")
    sizes = options.size(SIZES, QUICK_SIZES)
    with tempfile.TemporaryDirectory(prefix="streamer-benchmark-") as folder:
        path = Path(folder) / "streamer.db"
        for before, size in zip((0, *sizes), sizes, strict=False):
            _fill(path, before, size, options)
            stored.add(size, fill.megabytes(path))
            for name, cost in _costs(path, options).items():
                costs[name].add(size, cost)
    return curve


def _fill(path: Path, before: int, size: int, options: Options) -> None:
    lived = options.size(LIVED, QUICK_LIVED)
    if size > lived:
        fill.copy(path, originals=lived, up_to=size)
        return
    oldest_ms = options.size(SIZES, QUICK_SIZES)[-1]  # so that the last copy is of today
    with _opened(path, options) as (_, verbs):
        verbs.finished(size - before, age_ms=oldest_ms - before)


def _costs(path: Path, options: Options) -> dict[str, float]:
    """Measure all verbs on the file as it is."""
    refs = fill.refs(path, READS)
    with _opened(path, options) as (store, verbs):
        fill.check(store, refs)  # a look at each, which warms the caches too
        costs = verbs.costs()
        some = cycle(refs)
        costs["get"] = typical(15, READS // 15, lambda: store.get(next(some)))
        costs[NEWEST] = _list_cost(store)
        costs[FAILED] = _list_cost(store, frozenset({Status.FAILED}))
    return costs


def _list_cost(store: Store, statuses: frozenset[Status] | None = None) -> float:
    users = map(owner, count())

    def look() -> None:
        tenant, user = next(users)
        store.query(Query(tenant=tenant, user=user, statuses=statuses))

    look()
    return typical(2 * USERS, 1, look)


@contextmanager
def _opened(path: Path, options: Options) -> Iterator[tuple[Store, Verbs]]:
    clock = SystemClock()
    store = SqliteStore(path, clock)
    try:
        yield store, Verbs(store, clock, options)
    finally:
        store.close()
