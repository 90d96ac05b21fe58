"""Finding dead letters that nobody was told of: their process ended before it could tell.

```
failed requests, newest first   [ page ][ page ][ page ][ page ][ page ]
each round looks at              ^ new ones         ^ where the last round stopped
```
A round goes on to the next page for as long as pages have something that was missed.
"""

from collections.abc import Callable

from streamer_core.model.request import Request, Status
from streamer_core.ports import Clock, Page, Query, Store

PAGE = 50
MOST_S = 6.0
"""How long a round goes on: the sweeper's own must come soon."""

_PLACE = "dlq/round"
_GRACE_MS = 60_000  # whoever was told of it is still at it


def look(store: Store, clock: Clock, keep: Callable[[Request], bool]) -> int:
    """Keep failed requests that were missed, as many as the time allows; give how many.

    Args:
        keep: keeps one; False where that was done before.
    """
    end, before = clock.monotonic() + MOST_S, clock.now() - _GRACE_MS
    failed = Query(statuses=frozenset({Status.FAILED}), until=before + 1)

    def walk(cursor: str | None) -> tuple[int, str | None]:
        missed = 0
        while True:
            page = _page(store, failed, cursor)
            found = sum(keep(one) for one in page.items if (one.finished_at or 0) <= before)
            missed, cursor = missed + found, page.cursor
            if not found or cursor is None or clock.monotonic() >= end:
                return missed, cursor

    new, second = walk(None)
    place = store.get_value(_PLACE)
    start = place.data if place else None
    if start is None and second is None:
        return new
    old, stopped = walk(start or second)
    if stopped != start:
        store.put_value(_PLACE, stopped)
    return new + old


def _page(store: Store, failed: Query, cursor: str | None) -> Page:
    try:
        return store.query(failed, limit=PAGE, cursor=cursor)
    except ValueError:  # it is another store's: the values were carried over from there
        return store.query(failed, limit=PAGE)
