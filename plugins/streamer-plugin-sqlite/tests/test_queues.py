"""A claim costs the same however many wait, whatever they wait for."""

import pytest
from streamer_plugin_sqlite import SqliteStore, records, requests

from streamer_core.model.policy import Slot
from streamer_core.model.request import Failure, Request, Status
from streamer_core.ports import Query
from streamer_core.testing.clock import ManualClock
from streamer_core.testing.contracts.build import a_request
from streamer_core.testing.contracts.store.base import claimed, claimed_next, completed

FEW, MANY = 20, 2_000
ONE = Slot(key="one", at_most=1)


def fill(store: SqliteStore, count: int, **given: object) -> None:
    """Store many requests in one transaction; `tenants` shares them out."""
    tenants = int(str(given.pop("tenants", 1)))
    kept: list[Request] = [
        a_request(store.clock, f"r-{n}", tenant=f"t{n % tenants}", **given)  # type: ignore[arg-type]
        for n in range(count)
    ]

    def write(db: object) -> None:
        for request in kept:
            body = records.body_of(request)
            requests._add(db, request, body, store.clock.now(), requests.Known())  # type: ignore[arg-type]

    store._write(write)


def steps_of_a_claim(store: SqliteStore) -> int:
    """Count SQLite's own steps, in tens; the first claim may mend what lies about."""
    claimed_next(store)
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    store._writer._db.set_progress_handler(count, 10)
    claimed_next(store)
    store._writer._db.set_progress_handler(None, 0)
    return steps


CASES: dict[str, dict[str, object]] = {
    "of one tenant": {},
    "each of its own tenant": {"tenants": MANY},
    "for a full slot": {"slots": (ONE,)},
    "for a full slot, each of its own tenant": {"slots": (ONE,), "tenants": MANY},
    "for tomorrow": {"due_at": 10**13},
    "for tomorrow, each of its own tenant": {"due_at": 10**13, "tenants": MANY},
}


@pytest.mark.parametrize("case", CASES)
def test_waiting_requests_cost_a_claim_nothing(
    store: SqliteStore, clock: ManualClock, case: str
) -> None:
    for number in range(4):
        store.enqueue(a_request(clock, f"free-{number}", tenant="free"))
    store.enqueue(a_request(clock, "holder", slots=(ONE,)))
    assert claimed(store, a_request(clock, "holder").ref)
    fill(store, FEW, **CASES[case])
    few = steps_of_a_claim(store)
    fill(store, MANY, user="many", **CASES[case])
    if "slot" in case:
        while claimed_next(store):
            """Let each queue find its slot full, once."""
        for number in range(4):
            store.enqueue(a_request(clock, f"free again-{number}", tenant="free"))
    assert steps_of_a_claim(store) <= few * 2 + 20


def test_a_crowd_behind_one_slot_passes_one_by_one(store: SqliteStore, clock: ManualClock) -> None:
    for tenant in ("a", "b", "c"):
        for number in range(3):
            slots = (ONE,)
            store.enqueue(a_request(clock, f"{tenant}{number}", tenant=tenant, slots=slots))
    order = []
    while request := claimed_next(store):
        assert claimed_next(store) is None
        order.append(request.id)
        completed(store, request)
    assert [name[0] for name in order] == ["a", "b", "c"] * 3
    assert [name[1] for name in order] == ["0"] * 3 + ["1"] * 3 + ["2"] * 3


def test_queues_of_a_tenant_keep_the_order_of_due_times(
    store: SqliteStore, clock: ManualClock
) -> None:
    """Also where heads are out of date: the first went, or one came that is due sooner."""
    for name, delay in (("a", 10), ("b", 30), ("c", 5), ("d", 20), ("a", 15), ("b", 40)):
        slots = (Slot(key=name, at_most=9),)
        request = a_request(clock, f"{delay:02}", slots=slots, due_at=clock.now() + delay)
        store.enqueue(request)
    clock.advance(25)
    assert [taken.id for taken in iter(lambda: claimed_next(store), None)] == [
        *("05", "10", "15", "20")
    ]
    clock.advance(25)
    assert [taken.id for taken in iter(lambda: claimed_next(store), None)] == ["30", "40"]


def test_no_lanes_have_nothing(store: SqliteStore, clock: ManualClock) -> None:
    store.enqueue(a_request(clock))
    assert claimed_next(store, []) is None


def test_a_redriven_request_keeps_what_it_brings(store: SqliteStore, clock: ManualClock) -> None:
    failure = Failure(attempt=1, code="a.b", message="x", details={"y": 1})
    request = a_request(clock, checkpoint={"page": 3}, failures=(failure,))
    assert store.enqueue(request).request == request
    assert store.get(request.ref) == request


def test_queries_use_an_index(store: SqliteStore) -> None:
    """None sorts or reads the whole table."""
    for query in (
        Query(),
        Query(tenant="t"),
        Query(tenant="t", user="u"),
        Query(statuses=frozenset({Status.FAILED})),
    ):
        plans: list[str] = []
        store.query(query)
        where, values = requests._conditions(query, 0)
        sql = (
            f"EXPLAIN QUERY PLAN SELECT r.n FROM requests r WHERE {' AND '.join(where)} "
            "ORDER BY r.created_at DESC, r.n DESC LIMIT 10"
        )
        rows = store._read(lambda db, sql=sql, values=values: db.execute(sql, values).fetchall())  # type: ignore[misc]
        plans += [row[3] for row in rows]
        assert all("USING" in plan and "INDEX" in plan for plan in plans), plans
        assert not any("TEMP B-TREE" in plan for plan in plans), plans


def test_halves_of_surrogates_are_names_too(store: SqliteStore, clock: ManualClock) -> None:
    """A token may hold what UTF-8 cannot."""
    name = "half \ud800"
    request = a_request(clock, tenant=name, user=name, slots=(Slot(key=name, at_most=1),))
    store.enqueue(request)
    taken = claimed_next(store)
    assert taken is not None
    assert (taken.tenant, taken.user) == (name, name)
    assert [r.ref for r in store.query(Query(tenant=name, user=name)).items] == [request.ref]
    store.put_value(name, 1)
    assert set(store.values(name)) == {name}
    store.subscribe(name, "c", expires_at=clock.now() + 1)
    assert list(store.subscribers(name)) == ["c"]


def test_a_long_body_lies_apart(store: SqliteStore, clock: ManualClock) -> None:
    """A heartbeat does not write it again."""
    request = a_request(clock, payload={"text": "x" * 100_000})
    store.enqueue(request)
    held = claimed(store, request.ref)
    assert held.payload == request.payload
    store.heartbeat(held.ref, fence=held.fence, lease_until=clock.now() + 10)
    inline = store._read(lambda db: db.execute("SELECT body FROM requests").fetchone()[0])
    assert inline is None
    assert store.get(request.ref) is not None
