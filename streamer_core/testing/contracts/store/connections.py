"""Connections and subscriptions."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from streamer_core.errors import LimitReached
from streamer_core.model.counter import Count
from streamer_core.model.ids import request_subject, topic_subject
from streamer_core.model.request import ORIGIN_ALONE
from streamer_core.ports import Store
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import DAY_MS, a_connection, a_request
from streamer_core.testing.contracts.store.base import StoreRules, claimed, stored

MORE = Count(key="connections/acme", limit=1)
LESS = Count(key="connections/acme", amount=-1)


def _open_ones(store: Store) -> float:
    (level,) = store.count([Count(key=MORE.key, amount=0)]).levels
    return level


class ConnectionRules(StoreRules):
    """Rules about connections."""

    def test_a_connection_is_given_back_as_it_was_stored(
        self, store: Store, clock: ManualClock
    ) -> None:
        """All fields survive but the principal's claims, which no store keeps."""
        connection = a_connection(clock)
        store.put_connection(connection)
        assert store.get_connection("c-1") == connection

    def test_an_unknown_connection_is_none(self, store: Store) -> None:
        """`get_connection` gives None; so does deleting what is not there."""
        assert store.get_connection("nobody") is None
        assert store.delete_connection("nobody") is None

    def test_putting_a_connection_again_renews_it(self, store: Store, clock: ManualClock) -> None:
        """The later expiry and scopes count, and it stays one connection."""
        connection = a_connection(clock, lives_ms=1000)
        store.put_connection(connection)
        renewed = replace(connection, expires_at=connection.expires_at + 1000)
        store.put_connection(renewed)
        clock.advance(1500)
        assert store.get_connection("c-1") == renewed
        assert [c.id for c in store.connections()] == ["c-1"]

    def test_renewing_a_connection_renews_its_subscriptions(
        self, store: Store, clock: ManualClock
    ) -> None:
        """They live as long as the connection now does; other connections' stay as they were."""
        connection = a_connection(clock, lives_ms=1000)
        store.put_connection(connection)
        subject = topic_subject("acme", "news")
        store.subscribe(subject, "c-1", expires_at=connection.expires_at)
        store.subscribe(subject, "c-2", expires_at=connection.expires_at)
        store.put_connection(replace(connection, expires_at=connection.expires_at + 1000))
        clock.advance(1500)
        assert list(store.subscribers(subject)) == ["c-1"]

    def test_a_deleted_connection_is_given_back_and_gone(
        self, store: Store, clock: ManualClock
    ) -> None:
        """`delete_connection` forgets it."""
        store.put_connection(a_connection(clock))
        assert store.delete_connection("c-1") == a_connection(clock)
        assert store.get_connection("c-1") is None
        assert list(store.connections()) == []

    def test_a_connection_is_counted_once_and_settled_once(
        self, store: Store, clock: ManualClock
    ) -> None:
        """In the writes that store and forget it; stored again, it is renewed and nothing more."""
        counted = replace(a_connection(clock), settle=(LESS,))
        for _ in range(2):
            store.put_connection(counted, counts=[MORE])
            assert _open_ones(store) == 1
        assert store.get_connection("c-1") == counted
        store.put_connection(replace(counted, settle=(), expires_at=clock.now() + 5))
        clock.advance(10)
        assert _open_ones(store) == 1
        for _ in range(2):
            store.delete_connection("c-1")
            assert _open_ones(store) == 0

    def test_a_connection_without_room_is_not_stored(
        self, store: Store, clock: ManualClock
    ) -> None:
        """Its counts are taken all or none; one that is there is renewed, room or no room."""
        counted = replace(a_connection(clock), settle=(LESS,))
        store.put_connection(counted, counts=[MORE])
        with pytest.raises(LimitReached) as refused:
            store.put_connection(replace(counted, id="c-2"), counts=[Count(key="other"), MORE])
        assert (refused.value.key, refused.value.level) == (MORE.key, 1)
        assert store.get_connection("c-2") is None
        assert store.count([Count(key="other", amount=0)]).levels == (0,)
        store.put_connection(counted, counts=[MORE])
        assert _open_ones(store) == 1

    def test_a_connection_that_nothing_is_counted_for_settles_nothing(
        self, store: Store, clock: ManualClock
    ) -> None:
        """So one that is renewed after it was forgotten leaves others' counts as they are."""
        store.count([replace(MORE, amount=2, limit=None)])
        store.put_connection(replace(a_connection(clock), settle=(LESS,)))
        store.delete_connection("c-1")
        assert _open_ones(store) == 2

    def test_as_many_connections_as_have_room_at_once(
        self, store: Store, clock: ManualClock
    ) -> None:
        """Of many that come at the same time."""
        limited = replace(MORE, limit=3)

        def connect(number: int) -> bool:
            one = replace(a_connection(clock, f"c-{number}"), settle=(LESS,))
            try:
                store.put_connection(one, counts=[limited])
            except LimitReached:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(connect, range(8))) == 3
            ids = [one.id for one in store.connections()]
            assert len(ids) == 3
            list(pool.map(store.delete_connection, ids * 2))
        assert _open_ones(store) == 0

    def test_connections_are_listed_oldest_first(self, store: Store, clock: ManualClock) -> None:
        """By the time of connecting, at most `limit` of them."""
        for name in ("z", "a", "m"):
            store.put_connection(a_connection(clock, name))
            clock.advance(1)
        assert [c.id for c in store.connections()] == ["z", "a", "m"]
        assert [c.id for c in store.connections(limit=2)] == ["z", "a"]

    def test_connections_are_listed_by_tenant_and_user(
        self, store: Store, clock: ManualClock
    ) -> None:
        """The same user name of another tenant is somebody else."""
        for number, (tenant, user) in enumerate([("t1", "u"), ("t2", "u"), ("t1", "v")]):
            store.put_connection(a_connection(clock, f"c-{number}", tenant=tenant, user=user))
        assert {c.id for c in store.connections(tenant="t1")} == {"c-0", "c-2"}
        assert {c.id for c in store.connections(tenant="t1", user="u")} == {"c-0"}

    def test_listing_by_user_needs_the_tenant(self, store: Store) -> None:
        """A user's id means something only within a tenant."""
        with pytest.raises(ValueError, match="tenant"):
            store.connections(user="ann")

    def test_an_expired_connection_is_absent_but_found_by_the_sweeper(
        self, store: Store, clock: ManualClock
    ) -> None:
        """From `expires_at` on no read gives it, and `expired_connections` does until deleted."""
        store.put_connection(a_connection(clock, "short", lives_ms=1000))
        store.put_connection(a_connection(clock, "long"))
        assert list(store.expired_connections()) == []
        clock.advance(1000)
        assert store.get_connection("short") is None
        assert [c.id for c in store.connections(tenant="acme")] == ["long"]
        assert list(store.expired_connections()) == ["short"]
        store.delete_connection("short")
        assert list(store.expired_connections()) == []

    def test_open_connections_are_counted(self, store: Store, clock: ManualClock) -> None:
        """All tenants' together; not those that are over, or forgotten."""
        assert store.count_connections() == 0
        for number in range(3):
            store.put_connection(a_connection(clock, f"c-{number}", tenant=f"t{number}"))
        store.put_connection(a_connection(clock, "short", lives_ms=1000))
        assert store.count_connections() == 4
        clock.advance(1000)
        store.delete_connection("c-0")
        assert store.count_connections() == 2

    def test_expired_connections_are_given_up_to_the_limit(
        self, store: Store, clock: ManualClock
    ) -> None:
        """The sweeper works in bounded bites."""
        for number in range(3):
            store.put_connection(a_connection(clock, f"c-{number}", lives_ms=1))
        clock.advance(1)
        assert len(store.expired_connections(limit=2)) == 2


class SubscriptionRules(StoreRules):
    """Rules about subscriptions."""

    def test_subscribers_are_those_subscribed(self, store: Store, clock: ManualClock) -> None:
        """Each connection once, subjects apart, until it unsubscribes."""
        subject, other = topic_subject("acme", "room:1"), topic_subject("acme", "room:2")
        _subscribe(store, clock, subject, "c-1", "c-2", "c-1")
        _subscribe(store, clock, other, "c-3")
        assert sorted(store.subscribers(subject)) == ["c-1", "c-2"]
        store.unsubscribe(subject, "c-1")
        assert list(store.subscribers(subject)) == ["c-2"]
        assert list(store.subscribers(other)) == ["c-3"]

    def test_ending_a_subscription_that_is_not_there_is_no_error(self, store: Store) -> None:
        """`unsubscribe` may be repeated."""
        store.unsubscribe(topic_subject("acme", "room:1"), "nobody")
        assert list(store.subscribers(topic_subject("acme", "room:1"))) == []

    def test_an_expired_subscription_is_absent(self, store: Store, clock: ManualClock) -> None:
        """From its `expires_at` on."""
        subject = topic_subject("acme", "room:1")
        store.put_connection(a_connection(clock, "c-1", lives_ms=1000))
        store.subscribe(subject, "c-1", expires_at=clock.now() + 1000)
        clock.advance(999)
        assert list(store.subscribers(subject)) == ["c-1"]
        clock.advance(1)
        assert list(store.subscribers(subject)) == []

    def test_subscribing_again_renews(self, store: Store, clock: ManualClock) -> None:
        """The later expiry counts."""
        subject = topic_subject("acme", "room:1")
        store.put_connection(a_connection(clock, "c-1"))
        store.subscribe(subject, "c-1", expires_at=clock.now() + 1000)
        store.subscribe(subject, "c-1", expires_at=clock.now() + 5000)
        clock.advance(2000)
        assert list(store.subscribers(subject)) == ["c-1"]

    def test_a_deleted_connection_takes_its_subscriptions_along(
        self, store: Store, clock: ManualClock
    ) -> None:
        """All of its subjects lose it, and no other connection."""
        request = store.enqueue(a_request(clock)).request
        subjects = [topic_subject("acme", "room:1"), request_subject(request.ref)]
        for subject in subjects:
            _subscribe(store, clock, subject, "c-1", "c-2")
        store.delete_connection("c-1")
        assert [list(store.subscribers(subject)) for subject in subjects] == [["c-2"], ["c-2"]]

    def test_following_a_request_raises_its_version(self, store: Store, clock: ManualClock) -> None:
        """Subscribing and unsubscribing do, so that its worker reads the subscribers again."""
        request = store.enqueue(a_request(clock)).request
        versions = [stored(store, request.ref).subscribers_version]
        subject = request_subject(request.ref)
        _subscribe(store, clock, subject, "c-1")
        versions.append(stored(store, request.ref).subscribers_version)
        _subscribe(store, clock, subject, "c-2")
        versions.append(stored(store, request.ref).subscribers_version)
        store.unsubscribe(subject, "c-1")
        versions.append(stored(store, request.ref).subscribers_version)
        assert versions == sorted(set(versions)), "it rises each time"

    def test_a_holder_learns_of_newcomers_from_its_writes(
        self, store: Store, clock: ManualClock
    ) -> None:
        """`Held.subscribers_version` is the present one; a topic's subscribers do not touch it."""
        ref = store.enqueue(a_request(clock)).request.ref
        held = claimed(store, ref)
        before = store.append(ref, [], fence=held.fence).subscribers_version
        _subscribe(store, clock, topic_subject("acme", ref), "c-1")
        assert store.append(ref, [], fence=held.fence).subscribers_version == before
        _subscribe(store, clock, request_subject(ref), "c-1")
        later = store.heartbeat(ref, fence=held.fence, lease_until=clock.now() + 1)
        assert later.subscribers_version > before

    def test_an_origin_is_subscribed_by_enqueue(self, store: Store, clock: ManualClock) -> None:
        """`enqueue` subscribes the request's connection, which leaves with its expiry."""
        store.put_connection(a_connection(clock, "c-1", lives_ms=1000))
        ref = store.enqueue(a_request(clock, connection_id="c-1")).request.ref
        assert list(store.subscribers(request_subject(ref))) == ["c-1"]
        clock.advance(1000)
        assert list(store.subscribers(request_subject(ref))) == []

    def test_the_version_says_whether_the_origin_is_alone(
        self, store: Store, clock: ManualClock
    ) -> None:
        """0: nobody yet; ORIGIN_ALONE: the record's own connection; more: ask who it is."""
        store.put_connection(a_connection(clock, "c-1"))
        followed = store.enqueue(a_request(clock, "r-1", connection_id="c-1")).request
        assert followed.subscribers_version == ORIGIN_ALONE
        assert stored(store, followed.ref).subscribers_version == ORIGIN_ALONE
        for name in ("unknown", None):
            alone = store.enqueue(a_request(clock, f"r-{name}", connection_id=name)).request
            assert alone.subscribers_version == 0
            _subscribe(store, clock, request_subject(alone.ref), "c-2")
            assert stored(store, alone.ref).subscribers_version > ORIGIN_ALONE
        again = store.enqueue(a_request(clock, "r-unknown", connection_id="c-1")).request
        assert again.subscribers_version > ORIGIN_ALONE

    def test_a_repeat_subscribes_its_own_connection(self, store: Store, clock: ManualClock) -> None:
        """A client that came back on a new connection follows the request there."""
        for name in ("c-1", "c-2"):
            store.put_connection(a_connection(clock, name))
        first = store.enqueue(a_request(clock, connection_id="c-1")).request
        version = stored(store, first.ref).subscribers_version
        again = store.enqueue(a_request(clock, connection_id="c-2"))
        assert sorted(store.subscribers(request_subject(first.ref))) == ["c-1", "c-2"]
        assert stored(store, first.ref).subscribers_version > version
        assert again.request.connection_id == "c-1", "the stored record stays as it is"


def _subscribe(store: Store, clock: ManualClock, subject: str, *names: str) -> None:
    for name in names:
        store.put_connection(a_connection(clock, name))
        store.subscribe(subject, name, expires_at=clock.now() + DAY_MS)
