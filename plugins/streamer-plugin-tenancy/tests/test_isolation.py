"""Whoever works for a tenant cannot touch what is another's, whichever way it is asked for."""

from collections.abc import Callable, MutableMapping
from dataclasses import replace
from typing import Any

import pytest
from streamer_plugin_tenancy.isolation import Isolated

from streamer_core import Context, topic
from streamer_core.errors import Forbidden
from streamer_core.model.counter import Count
from streamer_core.model.ids import request_subject, tenant_key, topic_subject
from streamer_core.model.message import Priority
from streamer_core.model.request import Request, Status
from streamer_core.ports import Ending, Enqueuing, Query, Store
from streamer_core.scope import TenantScope
from streamer_core.testing.contracts.build import a_connection, a_request, an_end
from tests.unit.harness import Rig, code_of, handler

Lines = list[MutableMapping[str, Any]]
MakeRig = Callable[..., Rig]


@handler("echo")
def echo(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


@handler("queued", mode="async")
def queued(ctx: Context) -> str:
    ctx.progress(10)
    ctx.emit("piece")
    ctx.checkpoint({"page": 1})
    ctx.publish("news", {"n": 1})
    return "done"


@topic("news")
def news(principal: Any) -> bool:
    return True


# -- who has no tenant


@pytest.mark.parametrize("tenant", ["default", ""])
def test_a_token_without_a_tenant_is_refused(make_rig: MakeRig, tenant: str) -> None:
    rig = make_rig(echo)
    with pytest.raises(Forbidden, match="The token names no tenant") as refused:
        rig.client(tenant=tenant)
    assert refused.value.http_status == 403
    assert list(rig.store.connections()) == []


def test_a_connection_of_before_the_plugin_is_refused_too(make_rig: MakeRig) -> None:
    old = Rig(echo)
    client = old.client(tenant="default")
    rig = make_rig(echo, beside=old)
    for action in ("echo", "streamer.status", "streamer.ping"):
        client.rig = rig
        assert code_of(client.ask(action, {}, id="r")) == "FORBIDDEN"


def test_forged_metadata_changes_nothing(make_rig: MakeRig) -> None:
    @handler("whose", mode="async")
    def whose(ctx: Context) -> list[Any]:
        return [ctx.principal.tenant, dict(ctx.metadata)]

    rig = make_rig(whose)
    client = rig.client(tenant="acme")
    forged = {"tenant": "evil", "tenant_id": "evil", "x-tenant": "evil"}
    client.ask("whose", {"tenant": "evil"}, id="r", metadata=forged, tenant="evil")
    rig.work()
    assert client.of("complete")[0]["result"] == ["acme", forged]
    assert rig.stored(client.ref("r")).tenant == "acme"


# -- what a client may try


def test_another_tenants_request_is_not_there(make_rig: MakeRig, logs: Lines) -> None:
    rig = make_rig(queued)
    theirs, mine = rig.client(tenant="acme"), rig.client(tenant="evil", scopes="streamer:admin")
    theirs.ask("queued", {}, id="r")
    ref = theirs.ref("r")
    before = rig.stored(ref)
    for action in ("status", "cancel", "subscribe", "unsubscribe"):
        for payload in ({"ref": ref}, {"request_id": "r"}):
            answer = mine.ask(f"streamer.{action}", payload)
            expected = action == "unsubscribe" and "request_id" in payload
            assert expected or code_of(answer) == "NOT_FOUND"
    assert code_of(mine.ask("streamer.resume", {"requests": {"r": 0}})) == "NOT_FOUND"
    assert mine.ask("streamer.list", {})["data"]["requests"] == []
    assert rig.stored(ref) == before
    assert {line["tenant"] for line in logs} == {"evil"}


def test_a_topic_is_each_tenants_own(make_rig: MakeRig) -> None:
    rig = make_rig(queued, news)
    theirs, mine = rig.client(tenant="acme"), rig.client(tenant="evil")
    for client in (theirs, mine):
        client.ask("streamer.subscribe", {"topic": "news"})
    forged = topic_subject("acme", "news").removeprefix("topic/")
    assert code_of(mine.ask("streamer.subscribe", {"topic": forged})) == "FORBIDDEN"
    theirs.ask("queued", {}, id="r")
    rig.work()
    assert len(theirs.of("event")) == 1
    assert mine.of("event") == []


def test_another_tenants_cursor_shows_nothing_of_it(make_rig_on: MakeRig) -> None:
    rig = make_rig_on(queued)
    theirs, mine = rig.client(tenant="acme"), rig.client(tenant="evil")
    for number in range(4):
        theirs.ask("queued", {}, id=f"a-{number}")
        mine.ask("queued", {}, id=f"e-{number}")
        rig.clock.advance(1)
    cursor = theirs.ask("streamer.list", {"limit": 2})["data"]["cursor"]
    answer = mine.ask("streamer.list", {"limit": 2, "cursor": cursor})
    if answer["type"] == "error":
        assert code_of(answer) == "VALIDATION_ERROR"
    else:
        assert all(one["request_id"].startswith("e-") for one in answer["data"]["requests"])


# -- what a confused worker may try


class Attack:
    """A store seen by whoever works for `evil`, and what `acme` has in it."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.store = rig, rig.app.store
        self.inner = self.store.inner  # type: ignore[attr-defined]
        self.lease = rig.clock.now() + 60_000
        self.theirs = a_request(rig.clock, "r-1", tenant="acme")
        self.running = a_request(rig.clock, "r-2", tenant="acme")
        for one in (self.theirs, self.running):
            self.inner.enqueue(one)
        self.held = self.inner.claim(self.running.ref, worker="w", lease_until=self.lease)
        self.inner.put_connection(a_connection(rig.clock, "c-acme", tenant="acme"))
        self.inner.put_connection(a_connection(rig.clock, "c-evil", tenant="evil"))
        self.inner.put_value(tenant_key("note", "acme", "n"), "secret")
        self.inner.put_value("shared", "everybody's")
        self.end = an_end(rig.clock)

    def ending(self) -> Ending:
        return Ending(
            ref=self.running.ref, status=Status.COMPLETED, updates=[self.end], fence=1,
            expires_at=self.lease,
        )  # fmt: skip

    def state(self) -> list[Any]:
        refs = (self.theirs.ref, self.running.ref)
        subjects = [topic_subject("acme", "news"), *map(request_subject, refs)]
        return [
            *map(self.inner.get, refs),
            *map(self.inner.subscribers, subjects),
            self.inner.connections(),
            self.inner.values(""),
            self.inner.count([Count(key=tenant_key("used", "acme"), amount=0)]).levels,
        ]


def _mine(attack: Attack, **given: Any) -> Request:
    return a_request(attack.rig.clock, "mine", tenant="evil", **given)


def _as_theirs(attack: Attack) -> Request:
    return replace(_mine(attack), ref=attack.theirs.ref)


KEY = tenant_key("note", "acme", "n")
COUNT = Count(key=tenant_key("used", "acme"))
WRITES: dict[str, Callable[[Store, Attack], Any]] = {
    "enqueue": lambda s, a: s.enqueue(a_request(a.rig.clock, "r-3", tenant="acme")),
    "enqueue counts": lambda s, a: s.enqueue(_mine(a), counts=[COUNT]),
    "enqueue settle": lambda s, a: s.enqueue(_mine(a, settle=(COUNT,))),
    "enqueue for their client": lambda s, a: s.enqueue(_mine(a, connection_id="c-acme")),
    "enqueue under their ref": lambda s, a: s.enqueue(_as_theirs(a)),
    "enqueue_all under their ref": lambda s, a: s.enqueue_all([Enqueuing(request=_as_theirs(a))]),
    "enqueue_all": lambda s, a: s.enqueue_all([Enqueuing(request=_mine(a), counts=[COUNT])]),
    "claim": lambda s, a: s.claim(a.theirs.ref, worker="w", lease_until=a.lease),
    "claim_next": lambda s, a: s.claim_next(list(Priority), worker="w", lease_until=a.lease),
    "heartbeat": lambda s, a: s.heartbeat(a.running.ref, fence=1, lease_until=a.lease),
    "append": lambda s, a: s.append(a.running.ref, [], fence=1, checkpoint={"x": 1}),
    "finish": lambda s, a: s.finish(
        a.running.ref, Status.COMPLETED, [a.end], fence=1, expires_at=a.lease
    ),
    "finish_all": lambda s, a: s.finish_all([a.ending()]),
    "requeue": lambda s, a: s.requeue(a.running.ref, fence=1, due_at=0, spend=False),
    "cancel": lambda s, a: s.cancel(a.theirs.ref, a.end, expires_at=a.lease),
    "mark_sent": lambda s, a: s.mark_sent(a.running.ref, 1),
    "put_connection": lambda s, a: s.put_connection(
        a_connection(a.rig.clock, "c-acme", tenant="acme")
    ),
    "delete_connection": lambda s, _: s.delete_connection("c-acme"),
    "subscribe mine to their topic": lambda s, a: s.subscribe(
        topic_subject("acme", "news"), "c-evil", expires_at=a.lease
    ),
    "subscribe mine to their request": lambda s, a: s.subscribe(
        request_subject(a.theirs.ref), "c-evil", expires_at=a.lease
    ),
    "subscribe theirs to my topic": lambda s, a: s.subscribe(
        topic_subject("evil", "news"), "c-acme", expires_at=a.lease
    ),
    "unsubscribe": lambda s, a: s.unsubscribe(request_subject(a.theirs.ref), "c-acme"),
    "count": lambda s, _: s.count([COUNT]),
    "put_value": lambda s, _: s.put_value(KEY, "mine now"),
    "delete_value": lambda s, _: s.delete_value(KEY),
    "purge": lambda s, _: s.purge(),
}
READS: dict[str, Callable[[Store, Attack], Any]] = {
    "updates": lambda s, a: s.updates(a.running.ref),
    "query": lambda s, _: s.query(Query(tenant="acme")),
    "connections": lambda s, _: s.connections(tenant="acme"),
    "count_connections": lambda s, _: s.count_connections(),
    "expired_connections": lambda s, _: s.expired_connections(),
    "subscribers of a topic": lambda s, _: s.subscribers(topic_subject("acme", "news")),
    "subscribers of a request": lambda s, a: s.subscribers(request_subject(a.theirs.ref)),
    "get_value": lambda s, _: s.get_value(KEY),
    "values": lambda s, _: s.values(KEY),
    "due": lambda s, a: s.due(a.lease),
    "lapsed": lambda s, _: s.lapsed(),
    "cancelling": lambda s, a: s.cancelling(a.lease),
    "unsent": lambda s, a: s.unsent(a.lease),
    "open_feed": lambda s, _: s.open_feed(),
}
NARROWED: dict[str, Callable[[Store, Attack], Any]] = {
    "get": lambda s, a: s.get(a.theirs.ref),
    "get_connection": lambda s, _: s.get_connection("c-acme"),
}


def test_every_verb_is_attacked() -> None:
    attacked = {name.split()[0] for name in (*WRITES, *READS, *NARROWED)}
    whole = {"check", "close"}
    assert attacked == {*Store.__abstractmethods__, "enqueue_all", "finish_all"} - whole


@pytest.mark.parametrize("name", [*WRITES, *READS])
def test_the_store_refuses_another_tenants_key(make_rig: MakeRig, name: str) -> None:
    attack = Attack(make_rig())
    before = attack.state()
    with TenantScope("evil"), pytest.raises(Isolated):
        (WRITES | READS)[name](attack.store, attack)
    assert attack.state() == before


@pytest.mark.parametrize("name", NARROWED)
def test_the_store_does_not_show_another_tenants(make_rig: MakeRig, name: str) -> None:
    attack = Attack(make_rig())
    with TenantScope("evil"):
        assert NARROWED[name](attack.store, attack) is None


def test_lists_are_narrowed(make_rig: MakeRig) -> None:
    attack = Attack(make_rig())
    attack.inner.enqueue(_mine(attack))
    with TenantScope("evil"):
        assert [one.id for one in attack.store.query(Query()).items] == ["mine"]
        assert [one.id for one in attack.store.connections()] == ["c-evil"]
        assert set(attack.store.values("")) == {"shared"}


MIXED = {name for name in WRITES if name.startswith(("enqueue ", "enqueue_all", "subscribe "))}
FRAMEWORK = {
    *("claim_next", "count_connections", "expired_connections", "due", "lapsed", "cancelling"),
    *("unsent", "open_feed", "purge"),
}
PLAIN = {name: ask for name, ask in (WRITES | READS | NARROWED).items() if name not in MIXED}


@pytest.mark.parametrize("name", PLAIN)
def test_the_framework_may(make_rig: MakeRig, name: str) -> None:
    attack = Attack(make_rig())
    PLAIN[name](attack.store, attack)


@pytest.mark.parametrize("name", sorted(PLAIN.keys() - FRAMEWORK))
def test_the_owner_may(make_rig: MakeRig, name: str) -> None:
    attack = Attack(make_rig())
    with TenantScope("acme"):
        PLAIN[name](attack.store, attack)


def test_nothing_is_counted_for_another_even_by_the_framework(make_rig: MakeRig) -> None:
    attack = Attack(make_rig())
    before = attack.state()
    for name in ("enqueue counts", "enqueue settle", "enqueue_all"):
        with pytest.raises(Isolated):
            WRITES[name](attack.store, attack)
    mine = a_connection(attack.rig.clock, "c-new", tenant="evil")
    with pytest.raises(Isolated):
        attack.store.put_connection(mine, counts=[COUNT])
    assert attack.state() == before


def test_a_confused_handler_reads_nothing_of_another_tenant(make_rig: MakeRig, logs: Lines) -> None:
    seen: list[Any] = []

    @handler("confused", mode="async", retry={"max_attempts": 1})
    def confused(payload: dict[str, Any], ctx: Context) -> None:
        for store in (rig.app.store, ctx._report.rt.store):  # type: ignore[attr-defined]
            seen.append(store.get(payload["ref"]))
            seen.extend(store.query(Query(user="ann")).items)
        rig.app.store.cancel(payload["ref"], an_end(rig.clock), expires_at=0)

    rig = make_rig(confused, queued)
    theirs, mine = rig.client(tenant="acme"), rig.client(tenant="evil")
    theirs.ask("queued", {}, id="r", options={"delay_ms": 1000})
    mine.ask("confused", {"ref": theirs.ref("r")}, id="r")
    rig.work()
    assert [one.tenant for one in seen if one is not None] == ["evil", "evil"]
    (failed,) = mine.of("error")
    assert "acme" not in str(failed)
    assert rig.stored(theirs.ref("r")).status is Status.PENDING
    refused = [line for line in logs if line["event"] == "another tenant's key was refused"]
    assert [(line["tenant"], line["what"]) for line in refused] == [("evil", "cancel")]


def test_a_worker_that_takes_a_request_for_anothers_does_nothing(
    make_rig: MakeRig, logs: Lines
) -> None:
    """Settling is no tenant's work: many tenants' requests may end in one write."""
    ran: list[str] = []

    @handler("work", mode="async", retry={"max_attempts": 1})
    def work(payload: dict[str, Any], ctx: Context) -> None:
        ran.append(ctx.principal.tenant)

    rig = make_rig(work)
    theirs, mine = rig.client(tenant="acme"), rig.client(tenant="evil")
    for client in (theirs, mine):
        client.ask("work", {}, id="r")
    held = [rig.claim(one.ref("r")) for one in (theirs, mine)]
    outcomes = [rig.app.execute(one.changed(tenant="evil")) for one in held]
    rig.app.settle(outcomes)
    assert ran == ["evil"]  # its own alone
    assert rig.stored(theirs.ref("r")) == held[0]
    assert rig.stored(mine.ref("r")).status is Status.COMPLETED
    assert [line["event"] for line in logs if line["level"] == "error"]
    rig.clock.advance(600_000)
    for _ in range(2):
        rig.app.sweep()
    assert rig.stored(theirs.ref("r")).status is Status.FAILED


@pytest.mark.parametrize("open_store", ["sqlite", "ministack"], indirect=True)
def test_the_framework_goes_on_across_tenants(make_rig_on: MakeRig) -> None:
    rig = make_rig_on(queued, news)
    clients = [rig.client(tenant=f"t-{number}") for number in range(3)]
    for client in clients:
        client.ask("queued", {}, id="r")
    rig.app.store.claim(clients[0].ref("r"), worker="gone", lease_until=rig.clock.now() + 1)
    rig.clock.advance(5)
    assert rig.app.sweep().lapsed == 1
    rig.clock.advance(600_000)
    assert rig.work() == 3
    assert [rig.stored(one.ref("r")).status for one in clients] == [Status.COMPLETED] * 3
    assert rig.app.cancel(clients[0].ref("r")) is not None
    rig.clock.advance(7_200_000)
    assert rig.app.sweep().connections == 3
