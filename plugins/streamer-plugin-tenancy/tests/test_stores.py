"""One store made of several: where things lie, and what one that fails costs the others."""

from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

import pytest
from streamer_plugin_tenancy import TenancyPlugin
from streamer_plugin_tenancy.everywhere import TenantStores
from streamer_plugin_tenancy.foreign import ForeignStore

from streamer_core import Settings, Streamer
from streamer_core.errors import ConfigurationError, LimitReached, LostLease, StoreError, Throttled
from streamer_core.model.counter import Count
from streamer_core.model.ids import ref_of, tenant_key, tenant_part
from streamer_core.model.message import Priority
from streamer_core.model.request import Request, Status
from streamer_core.plugins import Found
from streamer_core.ports import Ending, Enqueuing, Query
from streamer_core.settings import validate_section
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport
from streamer_core.testing.contracts.build import a_connection, a_request, an_end

Lines = list[MutableMapping[str, Any]]


class Three:
    """A store of three: what all share, and what `acme` and `blue` have."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.shared, self.acme, self.blue = (MemoryStore(self.clock) for _ in range(3))
        self.all = TenantStores(  # type: ignore[abstract]
            self.shared, {"acme": self.acme, "blue": self.blue}
        )
        self.each = {"acme": self.acme, "blue": self.blue, "evil": self.shared}

    def enqueue(self, name: str = "r") -> list[str]:
        requests = [a_request(self.clock, name, tenant=tenant) for tenant in self.each]
        for request in requests:
            self.all.enqueue(request)
        return [request.ref for request in requests]

    def claim_next(self, at_most: int = 1) -> list[str]:
        found = self.all.claim_next(
            list(Priority), worker="w", lease_until=self.clock.now() + 1000, at_most=at_most
        )
        return [one.tenant for one in found]


@pytest.fixture
def three() -> Three:
    return Three()


def test_many_are_written_where_each_belongs(three: Three) -> None:
    requests = [
        a_request(three.clock, f"r-{number}", tenant=tenant)
        for number in range(2)
        for tenant in three.each
    ]
    answers = three.all.enqueue_all([Enqueuing(request=one) for one in requests])
    assert [one.request.ref for one in answers] == [one.ref for one in requests]  # type: ignore[union-attr]
    for tenant, store in three.each.items():
        assert {one.tenant for one in store.query(Query()).items} == {tenant}
    claimed = [three.all.claim(one.ref, worker="w", lease_until=10**15) for one in requests]
    three.blue.faults.fail_next("finish", StoreError("down"))
    ended = three.all.finish_all(
        [
            Ending(
                ref=one.ref, status=Status.COMPLETED, updates=[an_end(three.clock)], fence=1,
                expires_at=10**15,
            )
            for one in claimed
            if one is not None
        ]
    )  # fmt: skip
    assert [isinstance(one, StoreError) for one in ended] == [False, True, *[False] * 4]
    assert not isinstance(ended[1], LostLease)


def test_a_list_of_all_is_walked_in_order(three: Three) -> None:
    refs: list[str] = []
    for number in range(4):
        refs += three.enqueue(f"r-{number}")
        three.clock.advance(number % 2)
    seen: list[Request] = []
    cursor: str | None = None
    while True:
        page = three.all.query(Query(), limit=5, cursor=cursor)
        seen += page.items
        if (cursor := page.cursor) is None:
            break
    assert sorted(one.ref for one in seen) == sorted(refs)
    times = [one.created_at for one in seen]
    assert times == sorted(times, reverse=True)
    with pytest.raises(ValueError, match="cursor"):
        three.all.query(Query(), cursor="nonsense")


def test_stores_have_turns(three: Three) -> None:
    for name in ("r-1", "r-2"):
        three.enqueue(name)
    assert [three.claim_next(at_most=1)[0] for _ in range(6)] == ["evil", "acme", "blue"] * 2
    assert three.claim_next() == []


def test_one_that_fails_keeps_nobody_waiting(three: Three, logs: Lines) -> None:
    three.enqueue()
    for store in (three.acme, three.shared):
        store.faults.fail_next("claim_next", StoreError("no such role"))
    with pytest.raises(StoreError):
        three.claim_next()
    assert sorted(one for _ in range(3) for one in three.claim_next()) == ["blue", "evil"]
    assert [line["tenant"] for line in logs] == ["acme"]
    assert three.all.left_out() == ["acme"]
    assert [one.ref for one in three.all.due(three.clock.now() + 1)] == []
    three.clock.advance(90_000)
    assert three.all.left_out() == []
    assert three.claim_next() == ["acme"]


def test_one_that_cannot_be_written_is_left_out_too(three: Three) -> None:
    refs = three.enqueue()
    three.acme.faults.fail_next("cancel", Throttled("slow down"))
    with pytest.raises(Throttled):
        three.all.cancel(refs[0], an_end(three.clock), expires_at=10**15)
    assert three.all.left_out() == []
    for store in (three.acme, three.shared):
        store.faults.fail_next("cancel", StoreError("AccessDenied"))
    for ref in (refs[0], refs[2]):
        with pytest.raises(StoreError):
            three.all.cancel(ref, an_end(three.clock), expires_at=10**15)
    assert three.all.left_out() == ["acme"]
    assert {change.ref for change in three.all.due(three.clock.now() + 1)} == {*refs[1:]}


def test_a_list_goes_on_without_one_that_fails(three: Three) -> None:
    three.enqueue()
    three.acme.faults.fail_next("query", StoreError("no such role"))
    assert {one.tenant for one in three.all.query(Query()).items} == {"blue", "evil"}


def test_a_connection_without_room_leaves_nothing(three: Three) -> None:
    full = Count(key=tenant_key("connections", "acme"), limit=0)
    with pytest.raises(LimitReached):
        three.all.put_connection(a_connection(three.clock, tenant="acme"), counts=[full])
    assert three.shared.connections() == three.acme.connections() == []


def test_a_stub_says_whose_it_is_and_nothing_else(three: Three) -> None:
    connection = a_connection(three.clock, tenant="acme", user="ann")
    three.all.put_connection(connection)
    (stub,) = three.shared.connections()
    assert (stub.id, stub.principal.tenant) == (connection.id, "acme")
    assert "ann" not in repr(stub)
    assert not stub.principal.scopes
    assert three.all.get_connection(connection.id) == connection
    assert three.all.connections() == [connection]
    assert three.all.connections(tenant="acme", user="ann") == [connection]
    three.acme.delete_connection(connection.id)
    assert three.all.get_connection(connection.id) is None


def test_one_forgotten_by_half_is_found_by_the_sweeper(three: Three) -> None:
    connection = a_connection(three.clock, tenant="acme", lives_ms=1000)
    three.all.put_connection(connection)
    three.acme.faults.fail_next("delete_connection", Throttled("slow down"))
    with pytest.raises(Throttled):
        three.all.delete_connection(connection.id)
    three.clock.advance(1000)
    assert three.all.expired_connections() == [connection.id]
    assert three.all.delete_connection(connection.id) == connection
    assert three.all.expired_connections() == []


def test_counts_of_several_are_taken_where_nothing_can_be_refused(three: Three) -> None:
    counts = [Count(key=tenant_key("used", name), amount=2) for name in three.each]
    assert three.all.count([*counts, counts[0]]).levels == (4, 2, 2, 4)
    assert three.blue.count([Count(key=counts[1].key, amount=0)]).levels == (2,)
    with pytest.raises(StoreError, match="in one step"):
        three.all.count([Count(key=one.key, limit=9) for one in counts])
    three.blue.faults.fail_next("count", StoreError("down"))
    with pytest.raises(StoreError, match="down"):
        three.all.count(counts)


def test_a_tenant_whose_refs_begin_alike_is_refused(three: Three) -> None:
    alike = tenant_part("acme") + ref_of("other", "ann", "r")[8:]
    wrong = a_request(three.clock, tenant="other").changed(ref=alike)
    right = a_request(three.clock, tenant="blue")
    with pytest.raises(StoreError, match="another name"):
        three.all.enqueue(wrong)
    answers = three.all.enqueue_all([Enqueuing(request=one) for one in (wrong, right)])
    assert [isinstance(one, StoreError) for one in answers] == [True, False]
    assert three.acme.query(Query()).items == ()


def test_the_operators_record_of_a_tenant_is_with_all(three: Three) -> None:
    three.all.put_value(tenant_key("tenancy", "acme"), {})
    three.all.put_value(tenant_key("note", "acme"), {})
    three.all.put_value("note/of nobody", {})
    assert set(three.shared.values("")) == {tenant_key("tenancy", "acme"), "note/of nobody"}
    assert set(three.all.values("note/")) == {tenant_key("note", "acme"), "note/of nobody"}
    assert list(three.all.values("note/", 1)) == [tenant_key("note", "acme")]


def test_the_feed_has_the_changes_of_all(three: Three) -> None:
    feed = three.all.open_feed()
    refs = set(three.enqueue())
    seen: set[str] = set()
    while seen != refs:
        found = feed.get(5)
        assert found, "nothing came within 5 s"
        seen |= {change.ref for change in found}
    feed.close()
    assert feed.get(5) == ()


# -- somebody else's account


def test_a_foreign_account_cannot_speak_for_others(three: Three, logs: Lines) -> None:
    clock, lease = three.clock, three.clock.now() + 1000
    foreign = ForeignStore(three.acme, "acme")  # type: ignore[abstract]
    scopes = frozenset({"streamer:tenants", "streamer:operator", "orders"})
    forged = a_request(clock, "r-1", tenant="evil", scopes=scopes)
    own = a_request(clock, "r-2", tenant="acme", scopes=scopes)
    for request in (forged, own):
        three.acme.enqueue(request)
    assert foreign.get(forged.ref) is None
    assert foreign.cancel(forged.ref, an_end(clock), expires_at=lease) is None
    assert [one.ref for one in foreign.query(Query()).items] == [own.ref]
    three.acme.enqueue(forged.changed(ref=ref_of("evil", "ann", "r-3")))
    assert foreign.claim(ref_of("evil", "ann", "r-3"), worker="w", lease_until=lease) is None
    (claimed,) = foreign.claim_next(list(Priority), worker="w", lease_until=lease, at_most=9)
    assert (claimed.ref, set(claimed.scopes)) == (own.ref, {"orders"})
    clock.advance(1000)
    assert [one.ref for one in foreign.lapsed()] == [own.ref]
    assert [one.ref for one in foreign.cancelling(clock.now())] == []
    assert [one.ref for one in foreign.unsent(clock.now() + 1)] == []
    assert {line["event"] for line in logs} == {"a foreign account names another tenant"}


def test_a_foreign_account_cannot_make_a_client_an_operator(three: Three) -> None:
    foreign = ForeignStore(three.acme, "acme")  # type: ignore[abstract]
    three.acme.put_connection(a_connection(three.clock, "c-1", tenant="evil"))
    own = a_connection(three.clock, "c-2", tenant="acme")
    scopes = frozenset({"streamer:tenants", "orders"})
    three.acme.put_connection(replace(own, principal=replace(own.principal, scopes=scopes)))
    assert foreign.get_connection("c-1") is None
    found = [foreign.get_connection("c-2"), *foreign.connections()]
    assert [one.principal.scopes for one in found if one] == [{"orders"}] * 2
    assert foreign.delete_connection("c-1") is None


def test_an_open_connection_is_not_over_because_another_account_says_so(three: Three) -> None:
    theirs = a_connection(three.clock, "c-1", tenant="evil")
    three.all.put_connection(theirs)
    three.acme.put_connection(a_connection(three.clock, "c-1", tenant="acme", lives_ms=1))
    three.clock.advance(1)
    assert three.all.expired_connections() == []
    assert three.all.get_connection("c-1") == theirs


# -- settings


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "set prefix"),
        ({"role": "streamer"}, "must be a role's ARN"),
        ({"prefix": "a-", "external_id": "x"}, "set role too"),
        ({"prefx": "a-"}, "did you mean 'prefix'"),
    ],
)
def test_tables_that_cannot_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        validate_section(TenancyPlugin.Settings, {"tables": {"acme": given}}, "[plugins.tenancy]")


@pytest.mark.parametrize("region", [{}, {"region": "eu-west-1"}])
def test_two_tenants_cannot_have_the_same(region: dict[str, str]) -> None:
    """Nor what may be the same: `eu-west-1` may be where the shared ones are."""
    both = {"acme": {"prefix": "a-"}, "blue": {"prefix": "a-", **region}}
    with pytest.raises(ConfigurationError, match="two tenants have the same"):
        validate_section(TenancyPlugin.Settings, {"tables": both}, "[plugins.tenancy]")


def test_a_tenant_may_have_its_region() -> None:
    tables = {one: {"region": one} for one in ("eu-west-1", "us-east-1")}
    validate_section(TenancyPlugin.Settings, {"tables": tables}, "[plugins.tenancy]")


@pytest.mark.parametrize(
    ("tenant", "said"),
    [
        ("acme", "the store 'memory' has no tables of a tenant's own"),
        ("default", "no tenant can be named 'default'"),
        ("ä*", "the tag of a session"),
    ],
)
def test_a_start_that_cannot_be(tenant: str, said: str) -> None:
    role = "arn:aws:iam::123456789012:role/streamer" if tenant == "ä*" else None
    given = {"prefix": "a-"} if role is None else {"role": role}
    clock = ManualClock()
    settings = Settings.of({"store": "memory"}, {"tenancy": {"tables": {tenant: given}}})
    with pytest.raises(ConfigurationError, match=said):
        Streamer(
            settings,
            store=MemoryStore(clock),
            transport=MemoryTransport(),
            clock=clock,
            found=[Found(name="tenancy", value="streamer_plugin_tenancy:TenancyPlugin")],
            load_handlers=False,
        )
