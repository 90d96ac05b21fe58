"""Listing requests."""

from collections.abc import Iterator

import pytest

from streamer_core.model.request import Request, Status
from streamer_core.ports import Page, Query, Store
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import DAY_MS, a_request, an_error
from streamer_core.testing.contracts.store.base import StoreRules, completed, running

ANN = Query(tenant="acme", user="ann")
QUERIES = [
    pytest.param(ANN, id="a user's"),
    pytest.param(Query(tenant="acme"), id="a tenant's"),
    pytest.param(Query(), id="all"),
    pytest.param(Query(action="report"), id="an action's"),
    pytest.param(
        Query(statuses=frozenset({Status.PENDING, Status.RETRYING})), id="of two statuses"
    ),
]


class QueryRules(StoreRules):
    """Rules about `query`."""

    def test_nothing_found_is_an_empty_page(self, store: Store) -> None:
        """Without a cursor."""
        assert store.query(ANN) == Page(items=())

    @pytest.mark.parametrize("query", QUERIES)
    def test_the_newest_comes_first(self, store: Store, clock: ManualClock, query: Query) -> None:
        """By `created_at`, for every kind of query."""
        for name in ("first", "second", "third"):
            store.enqueue(a_request(clock, name))
            clock.advance(1)
        assert _ids(store.query(query)) == ["third", "second", "first"]

    def test_each_filter_leaves_out(self, store: Store, clock: ManualClock) -> None:
        """Tenant, user, action, status, and any of them together."""
        store.enqueue(a_request(clock, "mine"))
        store.enqueue(a_request(clock, "of bob", user="bob"))
        store.enqueue(a_request(clock, "of another ann", tenant="other"))
        store.enqueue(a_request(clock, "other action", action="else"))
        completed(store, running(store, "done"))
        found = {
            "user": store.query(ANN),
            "tenant": store.query(Query(tenant="acme")),
            "action": store.query(Query(action="else")),
            "status": store.query(Query(statuses=frozenset({Status.COMPLETED}))),
            "all": store.query(
                Query(
                    tenant="acme", user="ann", action="report", statuses=frozenset({Status.PENDING})
                )
            ),
        }
        assert {name: sorted(_ids(page)) for name, page in found.items()} == {
            "user": ["done", "mine", "other action"],
            "tenant": ["done", "mine", "of bob", "other action"],
            "action": ["other action"],
            "status": ["done"],
            "all": ["mine"],
        }

    def test_statuses_are_any_of(self, store: Store, clock: ManualClock) -> None:
        """Several statuses match each of them; none at all match nothing."""
        store.enqueue(a_request(clock, "waiting"))
        running(store, "running")
        completed(store, running(store, "done"))
        some = frozenset({Status.PENDING, Status.COMPLETED})
        assert sorted(_ids(store.query(Query(tenant="acme", statuses=some)))) == [
            "done",
            "waiting",
        ]
        assert _ids(store.query(Query(tenant="acme", statuses=frozenset()))) == []

    def test_a_status_is_found_as_it_is_now(self, store: Store, clock: ManualClock) -> None:
        """A request moves from one status's list to the next."""
        held = running(store)
        by_status = {
            status: Query(tenant="acme", statuses=frozenset({status})) for status in Status
        }
        assert _ids(store.query(by_status[Status.PROCESSING])) == ["r-1"]
        store.requeue(held.ref, fence=held.fence, due_at=clock.now(), spend=True)
        assert _ids(store.query(by_status[Status.PROCESSING])) == []
        assert _ids(store.query(by_status[Status.RETRYING])) == ["r-1"]
        store.cancel(held.ref, an_error(clock), expires_at=clock.now() + DAY_MS)
        assert _ids(store.query(by_status[Status.RETRYING])) == []
        assert _ids(store.query(by_status[Status.CANCELLED])) == ["r-1"]

    def test_since_is_included_and_until_is_not(self, store: Store, clock: ManualClock) -> None:
        """[since, until), either end alone too."""
        start = clock.now()
        for number in range(4):
            store.enqueue(a_request(clock, str(number)))
            clock.advance(10)
        assert _ids(store.query(Query(since=start + 10, until=start + 30))) == ["2", "1"]
        assert _ids(store.query(Query(since=start + 20))) == ["3", "2"]
        assert _ids(store.query(Query(tenant="acme", user="ann", until=start + 10))) == ["0"]

    @pytest.mark.parametrize("query", QUERIES)
    def test_a_walk_sees_each_request_once(
        self, store: Store, clock: ManualClock, query: Query
    ) -> None:
        """In uneven pages, many of them created in the same millisecond."""
        for number in range(self.walk_items):
            store.enqueue(a_request(clock, f"r-{number}"))
            clock.advance(number % 3 // 2)
        walked = list(_walk(store, query, limit=7))
        assert len(walked) == self.walk_items
        assert len({request.ref for request in walked}) == self.walk_items
        times = [request.created_at for request in walked]
        assert times == sorted(times, reverse=True)

    def test_the_last_page_has_no_cursor(self, store: Store, clock: ManualClock) -> None:
        """Also where the items fill it exactly."""
        for number in range(4):
            store.enqueue(a_request(clock, f"r-{number}"))
        first = store.query(ANN, limit=2)
        assert first.cursor is not None
        second = store.query(ANN, limit=2, cursor=first.cursor)
        assert (len(second.items), second.cursor) == (2, None)
        assert store.query(ANN, limit=4).cursor is None

    def test_a_walk_is_stable_under_new_requests(self, store: Store, clock: ManualClock) -> None:
        """What is enqueued meanwhile neither repeats nor hides what was there."""
        for number in range(10):
            store.enqueue(a_request(clock, f"old-{number}"))
            clock.advance(1)
        seen = []
        for position, request in enumerate(_walk(store, ANN, limit=3)):
            seen.append(request.id)
            store.enqueue(a_request(clock, f"new-{position}"))
            clock.advance(1)
        assert seen == [f"old-{number}" for number in reversed(range(10))]

    def test_a_walk_survives_changes_of_what_it_passed(
        self, store: Store, clock: ManualClock
    ) -> None:
        """A request that leaves the list behind the cursor shifts nothing."""
        for number in range(6):
            store.enqueue(a_request(clock, f"r-{number}"))
            clock.advance(1)
        pending = Query(tenant="acme", statuses=frozenset({Status.PENDING}))
        first = store.query(pending, limit=3)
        for request in first.items:
            store.cancel(request.ref, an_error(clock), expires_at=clock.now() + DAY_MS)
        rest = store.query(pending, limit=3, cursor=first.cursor)
        assert _ids(rest) == ["r-2", "r-1", "r-0"]

    @pytest.mark.parametrize("cursor", ["", "x", "🦆", "AAAA", "!!!!", "W10=", "eyJhIjoxfQ==", "0"])
    def test_a_foreign_cursor_is_refused(
        self, store: Store, clock: ManualClock, cursor: str
    ) -> None:
        """ValueError: a client may send anything."""
        store.enqueue(a_request(clock))
        with pytest.raises(ValueError, match="cursor"):
            store.query(ANN, cursor=cursor)

    def test_a_cursor_with_a_turned_letter_is_no_crash(
        self, store: Store, clock: ManualClock
    ) -> None:
        """It is refused, or it means another place; nothing else is raised."""
        for number in range(4):
            store.enqueue(a_request(clock, f"r-{number}"))
        cursor = store.query(ANN, limit=2).cursor
        assert cursor is not None
        for place in range(len(cursor)):
            turned = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
            try:
                store.query(ANN, limit=2, cursor=turned)
            except ValueError:
                continue


def _ids(page: Page) -> list[str]:
    return [request.id for request in page.items]


def _walk(store: Store, query: Query, *, limit: int) -> Iterator[Request]:
    cursor = None
    while True:
        page = store.query(query, limit=limit, cursor=cursor)
        assert len(page.items) <= limit
        yield from page.items
        if (cursor := page.cursor) is None:
            return
