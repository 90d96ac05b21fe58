"""What the in-memory fakes do wrong when a test asks them to."""

from collections.abc import Iterator

import pytest

from streamer_core.errors import LostLease, StoreError, Throttled, TransportError
from streamer_core.model.request import Request
from streamer_core.ports import Change, Feed
from streamer_core.ports.transport import Delivery
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport
from streamer_core.testing.contracts.build import a_chunk, a_request
from streamer_core.testing.store import FeedMode


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(ManualClock())


@pytest.fixture
def held(store: MemoryStore) -> Request:
    request = a_request(store.clock)
    lease_until = store.clock.now() + 1000
    return store.enqueue(request, worker="w", lease_until=lease_until).request


def test_a_fault_before_the_write_changes_nothing(store: MemoryStore, held: Request) -> None:
    store.faults.fail_next("append", Throttled("slow down"), times=2)
    for _ in range(2):
        with pytest.raises(Throttled):
            store.append(held.ref, [a_chunk(store.clock)], fence=held.fence)
    assert store.append(held.ref, [a_chunk(store.clock)], fence=held.fence).last_seq == 1


def test_a_fault_after_the_write_leaves_it(store: MemoryStore, held: Request) -> None:
    store.faults.fail_next("append", StoreError("lost the answer"), after=True)
    with pytest.raises(StoreError):
        store.append(held.ref, [a_chunk(store.clock)], fence=held.fence)
    assert [update.seq for update in store.updates(held.ref)] == [1]


def test_a_refused_write_does_not_use_up_a_fault_after_it(
    store: MemoryStore, held: Request
) -> None:
    store.faults.fail_next("append", StoreError("lost the answer"), after=True)
    with pytest.raises(LostLease):
        store.append(held.ref, [], fence=99)
    with pytest.raises(StoreError, match="answer"):
        store.append(held.ref, [], fence=held.fence)


def test_faults_are_taken_back(store: MemoryStore) -> None:
    store.faults.fail_next("check", StoreError("broken"))
    store.faults.clear()
    store.check()


def test_a_fault_needs_a_verb(store: MemoryStore) -> None:
    with pytest.raises(ValueError, match="no verb 'apend'"):
        store.faults.fail_next("apend", StoreError("broken"))


def test_a_closed_store_says_so(store: MemoryStore) -> None:
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.check()


class TestFeed:
    @pytest.fixture
    def feed(self, store: MemoryStore) -> Iterator[Feed]:
        feed = store.open_feed()
        yield feed
        feed.close()

    @pytest.mark.parametrize(
        ("mode", "expected"),
        [
            (FeedMode.FAITHFUL, ["a", "b"]),
            (FeedMode.DROP, []),
            (FeedMode.DUPLICATE, ["a", "a", "b", "b"]),
            (FeedMode.REORDER, ["b", "a"]),
            (FeedMode.DELAY, []),
        ],
    )
    def test_a_mode_treats_records(
        self, store: MemoryStore, feed: Feed, mode: FeedMode, expected: list[str]
    ) -> None:
        store.data.hub.mode = mode
        assert self._names(store, self._two_changes(store, feed)) == expected

    def test_delayed_records_come_when_released(self, store: MemoryStore, feed: Feed) -> None:
        store.data.hub.mode = FeedMode.DELAY
        self._two_changes(store, feed)
        store.data.hub.release()
        assert self._names(store, feed.get(0)) == ["a", "b"]

    def _two_changes(self, store: MemoryStore, feed: Feed) -> list[Change]:
        for name in ("a", "b"):
            store.enqueue(a_request(store.clock, name))
        return list(feed.get(0))

    def _names(self, store: MemoryStore, changes: object) -> list[str]:
        assert isinstance(changes, list | tuple)
        return [request.id for c in changes if (request := store.get(c.ref))]


class TestTransport:
    def test_busy_takes_nothing_as_often_as_asked(self) -> None:
        transport = MemoryTransport()
        connection = transport.connect()
        transport.busy_next(connection, 2)
        verdicts = [transport.send(connection, b"{}") for _ in range(3)]
        assert verdicts == [Delivery.BUSY, Delivery.BUSY, Delivery.DELIVERED]
        assert len(transport.inbox(connection)) == 1

    def test_a_failure_is_raised_once(self) -> None:
        transport = MemoryTransport()
        connection = transport.connect("mine")
        transport.fail_next("mine")
        with pytest.raises(TransportError):
            transport.send(connection, b"{}")
        assert transport.send(connection, b"{}") is Delivery.DELIVERED

    def test_a_failing_send_may_have_been_received(self) -> None:
        transport = MemoryTransport()
        connection = transport.connect()
        transport.fail_next(connection, after=True)
        with pytest.raises(TransportError):
            transport.send(connection, b'{"n":1}')
        assert list(transport.inbox(connection)) == [{"n": 1}]

    def test_a_close_is_noted(self) -> None:
        transport = MemoryTransport()
        connection = transport.connect()
        transport.close_connection(connection, 1001, "drain")
        assert transport.closed == {connection: (1001, "drain")}
        with pytest.raises(ValueError, match="before"):
            transport.connect(connection)

    def test_an_inbox_waits_for_what_is_wanted(self) -> None:
        transport = MemoryTransport()
        connection = transport.connect()
        transport.send(connection, b'{"type":"pong"}')
        inbox = transport.inbox(connection)
        assert inbox.wait_for_type("pong") == {"type": "pong"}
        with pytest.raises(TimeoutError, match="pong"):
            inbox.wait_for(lambda message: message["type"] == "welcome", timeout_s=0.01)


def test_a_manual_clock_repeats_itself() -> None:
    first, second, third = ManualClock(seed=1), ManualClock(seed=1), ManualClock(seed=2)
    ids = [first.new_id() for _ in range(3)]
    assert len(set(ids)) == 3
    assert [second.new_id() for _ in range(3)] == ids
    assert third.new_id() != ids[0]
    assert first.random() == second.random()


def test_a_manual_clock_moves_when_told() -> None:
    clock = ManualClock(1000)
    assert clock.advance(5) == 1005 == clock.now()
    assert clock.advance_s(1.5) == 2505
    assert clock.monotonic() == 1.505
    clock.set_now(7)
    assert (clock.now(), clock.monotonic()) == (7, 1.505)
    with pytest.raises(ValueError, match="forwards"):
        clock.advance(-1)
