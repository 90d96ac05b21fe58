"""What a claim costs, and whose turn it is, where many wait: ten thousand in `make chaos`."""

from collections.abc import Callable, Iterator

import pytest
from pynamodb.connection import Connection
from streamer_plugin_dynamodb import queues
from streamer_plugin_dynamodb.database import Database, connect
from streamer_plugin_dynamodb.items import chunks, to_item
from streamer_plugin_dynamodb.records import Stored, body_of, row
from streamer_plugin_dynamodb.store import DynamoStore
from streamer_plugin_dynamodb.tables import Requests

from streamer_core.model.message import Priority
from streamer_core.model.policy import Slot
from streamer_core.model.request import Request
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import a_request
from streamer_core.testing.contracts.store.base import claimed, claimed_next, completed
from tests.e2e.kit.seed import rounds
from tests.emulators import REGION

MANY, SOME = rounds(1_500, 10_000), 1_000
ONE = (Slot(key="one", at_most=1),)

CLAIM = 9
"""Calls: who is asleep and whose turn it is, in two lanes; the tenant's queues, and the first of
the first one; its record; the claim, and the tenant's new place."""

Make = Callable[[int], Request]

# One emulator will do: what is counted is what the store asks.
pytestmark = [
    pytest.mark.uncovered,
    pytest.mark.parametrize("endpoint", ["ministack"], indirect=True),
]


class Counted:
    """A store, and how many calls it has made."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self.clock = ManualClock()
        self.store = DynamoStore(Database(database.prefix, connection), self.clock)
        self.calls = 0
        connection.client.meta.events.register("before-send.dynamodb.*", self._count)

    def _count(self, **_: object) -> None:
        self.calls += 1

    def load(self, many: int, make: Make) -> None:
        """Store many waiting requests; the last one as anybody would."""
        name = self.store._db.name(Requests)
        rows = (row(_stored(make(number))) for number in range(many - 1))
        for some in chunks(rows, 25):
            puts = [{"PutRequest": {"Item": to_item(one)}} for one in some]
            self.store._db.call("batch_write_item", {"RequestItems": {name: puts}})
        self.store.enqueue(make(many - 1))

    def claim(self) -> tuple[str, int]:
        """Claim whoever is next: gives its tenant, and what that cost."""
        before = self.calls
        request = claimed_next(self.store)
        assert request is not None
        return request.tenant, self.calls - before


def _stored(request: Request) -> Stored:
    return Stored(request=request, life="x", texts={"body": body_of(request)}, revision=1)


@pytest.fixture
def counted(database: Database, endpoint: str) -> Iterator[Counted]:
    connection = connect(region=REGION, endpoint=endpoint)
    yield Counted(database, connection)
    connection.client.close()


def test_many_of_one_tenant_hold_up_nobody(counted: Counted) -> None:
    counted.load(MANY, lambda n: a_request(counted.clock, f"r-{n}", tenant="big"))
    counted.clock.advance(1)
    assert counted.claim()[0] == "big"
    counted.store.enqueue(a_request(counted.clock, "single", tenant="small"))
    tenant, calls = counted.claim()
    assert tenant == "small"
    assert calls == CLAIM
    tenant, calls = counted.claim()
    assert tenant == "big"
    assert calls <= CLAIM + 4, "small has nothing more, which is found out first"


def test_a_thousand_set_aside_are_in_nobodys_way(counted: Counted) -> None:
    holder = a_request(counted.clock, "holder", tenant="big", slots=ONE)
    counted.store.enqueue(holder)
    held = claimed(counted.store, holder.ref)
    counted.load(SOME, lambda n: a_request(counted.clock, f"r-{n}", tenant="big", slots=ONE))
    counted.clock.advance(1)
    assert claimed_next(counted.store) is None
    counted.store.enqueue(a_request(counted.clock, "free", tenant="big"))
    assert counted.claim() == ("big", CLAIM)
    completed(counted.store, held)
    again = claimed_next(counted.store)
    assert again is not None
    assert again.slots == ONE


def test_whoever_waits_for_a_slot_gets_it_in_turn(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many do: of more than are opened at once, those that were served longest ago."""
    monkeypatch.setattr(queues, "_MOST_REOPENED", 2)
    store, clock = counted.store, counted.clock
    tenants = [f"t-{number}" for number in range(4)]
    for name in ("a", "b"):
        for tenant in tenants:
            store.enqueue(a_request(clock, name, tenant=tenant, slots=ONE))
    low = a_request(clock, "low", tenant="t-x", slots=ONE, priority=Priority.LOW)
    store.enqueue(low)
    clock.advance(1)
    served: list[str] = []
    while held := claimed_next(store):
        assert claimed_next(store) is None, "which sets all others aside"
        served.append(held.tenant)
        completed(store, held)
    assert sorted(served[:4]) == tenants
    assert served == [*served[:4], *served[:4], low.tenant]
