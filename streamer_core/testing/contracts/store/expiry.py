"""An expired item is absent to every read, however late it is deleted."""

from streamer_core.model.counter import Count
from streamer_core.model.ids import request_subject
from streamer_core.model.request import Status
from streamer_core.ports import Query, Store
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import DAY_MS, a_chunk, a_connection, a_request, an_error
from streamer_core.testing.contracts.store.base import StoreRules, completed, running

FAR_MS = DAY_MS * 3650


class ExpiryRules(StoreRules):
    """Rules about `expires_at` and `purge`."""

    def test_an_expired_request_is_absent_to_every_read(
        self, store: Store, clock: ManualClock
    ) -> None:
        """From `expires_at` on, to the millisecond."""
        held = running(store)
        completed(store, held, [a_chunk(clock)])
        clock.advance(DAY_MS - 1)
        assert store.get(held.ref) is not None
        assert len(store.updates(held.ref)) == 2
        clock.advance(1)
        assert store.get(held.ref) is None
        assert list(store.updates(held.ref)) == []
        assert store.query(Query(tenant="acme", user="ann")).items == ()
        assert store.query(Query(statuses=frozenset({Status.COMPLETED}))).items == ()
        assert list(store.unsent(clock.now())) == []
        assert store.cancel(held.ref, an_error(clock), expires_at=FAR_MS) is None
        store.mark_sent(held.ref, 2)
        assert store.get(held.ref) is None

    def test_a_request_that_has_not_ended_never_expires(
        self, store: Store, clock: ManualClock
    ) -> None:
        """However long it waits or runs, and whatever is purged."""
        waiting = store.enqueue(a_request(clock, "waiting")).request
        held = running(store, "running")
        clock.advance(FAR_MS)
        store.purge()
        assert store.get(waiting.ref) == waiting
        assert store.get(held.ref) == held

    def test_a_flagged_request_does_not_expire(self, store: Store, clock: ManualClock) -> None:
        """The `expires_at` given with a cancel counts only where it ends the request."""
        held = running(store)
        store.cancel(held.ref, an_error(clock), expires_at=clock.now() + 1)
        clock.advance(FAR_MS)
        store.purge()
        assert store.get(held.ref) is not None

    def test_purge_deletes_expired_items_in_bites(self, store: Store, clock: ManualClock) -> None:
        """Up to `limit`, telling how many, until there are none."""
        for number in range(3):
            completed(store, running(store, f"r-{number}"))
        kept = store.enqueue(a_request(clock, "kept")).request
        clock.advance(DAY_MS)
        if self.purges:
            assert store.purge(limit=2) == 2
            assert store.purge(limit=2) >= 1
        while store.purge(limit=2):
            pass
        assert store.get(kept.ref) == kept
        assert [request.id for request in store.query(Query()).items] == ["kept"]

    def test_what_has_not_expired_is_not_purged(self, store: Store, clock: ManualClock) -> None:
        """Requests, values and counters alike."""
        held = running(store)
        completed(store, held)
        store.put_value("key", 1, expires_at=clock.now() + 1000)
        store.put_value("for ever", 1)
        store.count([Count(key="count", amount=3, expires_at=clock.now() + 1000)])
        clock.advance(999)
        assert store.purge() == 0
        assert store.get(held.ref) is not None
        assert store.get_value("key") is not None
        assert store.count([Count(key="count", amount=0)]).levels == (3,)

    def test_purged_requests_take_along_what_belongs_to_them(
        self, store: Store, clock: ManualClock
    ) -> None:
        """Updates and subscriptions do not come back with the next of the same id."""
        store.put_connection(a_connection(clock, lives_ms=FAR_MS))
        held = running(store, connection_id="c-1")
        completed(store, held, [a_chunk(clock)] * 3)
        clock.advance(DAY_MS)
        store.purge()
        again = a_request(clock, created_at=clock.now())
        assert store.enqueue(again).created
        assert list(store.updates(held.ref)) == []
        assert list(store.subscribers(request_subject(held.ref))) == []

    def test_an_expired_value_is_absent(self, store: Store, clock: ManualClock) -> None:
        """To `get_value` and `values`, purged or not."""
        store.put_value("key", 1, expires_at=clock.now() + 10)
        clock.advance(9)
        assert store.get_value("key") is not None
        clock.advance(1)
        assert store.get_value("key") is None
        assert dict(store.values("")) == {}
        store.purge()
        assert store.get_value("key") is None

    def test_an_expired_counter_begins_at_zero(self, store: Store, clock: ManualClock) -> None:
        """Purged or not."""
        quota = Count(key="quota/today", amount=5, limit=5, expires_at=clock.now() + 10)
        assert store.count([quota]).accepted
        clock.advance(9)
        assert not store.count([quota]).accepted
        clock.advance(1)
        later = Count(key="quota/today", amount=5, limit=5, expires_at=clock.now() + 10)
        counted = store.count([later])
        assert (counted.accepted, counted.levels) == (True, (5,))
