"""Revoked tokens: on every store, with many processes, and at what cost."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from streamer_plugin_jwt.denylist import Denylist
from streamer_plugin_jwt.settings import JwtSettings

from streamer_core.errors import StoreError
from streamer_core.model.connection import Connection
from streamer_core.model.principal import Principal
from streamer_core.ports import Clock, Store
from streamer_core.testing import ManualClock, MemoryStore
from tests.conftest import Lines

OpenDoor = Callable[..., Any]
OpenStore = Callable[[Clock], Store]
SETTINGS = JwtSettings(keys=("env:X",))
HOUR_MS = 3_600_000


def principal(clock: Clock, user: str = "ada", token_id: str | None = "t-1") -> Principal:
    return Principal(user=user, tenant="acme", token_id=token_id, issued_at=clock.now())


# -- on every store


def test_revocations_are_seen_by_all_processes(open_store: OpenStore) -> None:
    clock = ManualClock()
    ours, theirs = (Denylist(open_store(clock), clock, SETTINGS) for _ in range(2))
    one, two = principal(clock), principal(clock, token_id="t-2")
    bob = principal(clock, "bob")
    since = clock.now()
    assert not any(theirs.is_revoked(who) or theirs.was_revoked(who, since) for who in (one, two))

    ours.revoke_token("acme", "ada", "t-1")
    clock.advance_s(5)
    assert [theirs.is_revoked(who) for who in (one, two, bob)] == [True, False, False]
    assert [theirs.was_revoked(who, since) for who in (one, two, bob)] == [True, False, False]

    ours.revoke_user("acme", "ada")
    clock.advance_s(5)
    assert [theirs.was_revoked(who, since) for who in (one, two, bob)] == [True, True, False]
    later = principal(clock, token_id="t-3")
    assert not theirs.is_revoked(later), "issued since"
    assert sorted("token_id" in entry for entry in theirs.entries()) == [False, True]

    clock.advance(SETTINGS.longest_life + SETTINGS.leeway)
    assert list(theirs.entries()) == []
    for denylist in (ours, theirs):
        denylist._store.close()


def test_many_revoke_at_once(open_store: OpenStore) -> None:
    clock = ManualClock()
    stores = [open_store(clock) for _ in range(2)]
    those = [Denylist(store, clock, SETTINGS) for store in stores]
    before = principal(clock)
    clock.advance(1)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(those[n % 2].revoke_user, "acme", "ada") for n in range(4)]
        jobs += [pool.submit(those[n % 2].revoke_token, "acme", "bob", f"{n}") for n in range(4)]
        for job in jobs:
            job.result(60)
    assert those[0].is_revoked(before)
    assert all(those[1].is_revoked(principal(clock, "bob", f"{n}")) for n in range(4))
    for store in stores:
        store.close()


def test_a_sweep_finds_the_connections(open_store: OpenStore) -> None:
    clock = ManualClock()
    store = open_store(clock)
    denylist = Denylist(store, clock, SETTINGS)
    expected = {"ada": principal(clock), "also-ada": principal(clock, token_id="t-2")}
    others = {
        "bob": principal(clock, "bob"),
        "key": Principal(user="ada", tenant="acme"),  # another authenticator's
    }
    for name, who in {**expected, **others}.items():
        now = clock.now()
        put = Connection(id=name, principal=who, connected_at=now, expires_at=now + HOUR_MS)
        store.put_connection(put)
    clock.advance(1)
    denylist.revoke_user("acme", "ada")
    ended: list[tuple[str, str]] = []
    denylist.end_connections(lambda *given: ended.append(given))
    assert sorted(ended) == [("ada", "revoked"), ("also-ada", "revoked")]
    store.close()


# -- what is told apart


def test_parts_of_a_key_do_not_run_together(door: OpenDoor) -> None:
    clock = ManualClock()
    denylist = Denylist(MemoryStore(clock), clock, SETTINGS)
    denylist.revoke_token("a", "b:1:c", "d")
    for tenant, user, token_id in (("a:1:b", "c", "d"), ("a", "b", "1:c:d"), ("ab", ":1:c", "d")):
        who = Principal(user=user, tenant=tenant, token_id=token_id, issued_at=0)
        assert not denylist.is_revoked(who)


def test_a_later_revocation_is_not_undone_by_a_slow_clock() -> None:
    clock, slow = ManualClock(), ManualClock()
    store = MemoryStore(clock)
    clock.advance_s(30)
    Denylist(store, clock, SETTINGS).revoke_user("acme", "ada")
    Denylist(store, slow, SETTINGS).revoke_user("acme", "ada")
    who = Principal(user="ada", tenant="acme", issued_at=clock.now() - 1000)
    assert Denylist(store, clock, SETTINGS).is_revoked(who)


def test_a_token_that_does_not_say_when_it_was_issued(door: OpenDoor) -> None:
    opened = door()
    token = opened.sign(iat=None, jti=None)
    assert opened.lets_in(token)
    opened.plugin.denylist.revoke_user("default", "ada")
    assert not opened.lets_in(token), "nobody can tell that it is newer"
    assert opened.lets_in(opened.sign(iat=opened.clock.now() // 1000 + 1))


# -- letting in, renewing, and live connections


def test_a_revoked_token_lets_nobody_in(door: OpenDoor, logs: Lines) -> None:
    opened = door()
    one, two = opened.sign(), opened.sign(jti="t-2")
    opened.plugin.denylist.revoke_token("default", "ada", "t-1")
    assert not opened.lets_in(one), "at once: a connect reads it"
    assert logs[-1]["reason"] == "revoked"
    assert opened.lets_in(two)
    connection = opened.connect(two)
    (answer,) = opened.ask(connection, "streamer.authenticate", {"token": one})
    assert answer["error"]["code"] == "UNAUTHORIZED"
    assert opened.ask(connection, "open")[0]["success"]


def test_a_live_connection_is_refused_and_closed(door: OpenDoor) -> None:
    opened, other = door(), None
    other = door(opened)  # another process
    connection = opened.connect(opened.sign())
    opened.clock.advance_s(3000)
    assert opened.ask(connection, "open")[0]["success"]
    other.plugin.denylist.revoke_token("default", "ada", "t-1")
    assert opened.ask(connection, "open")[0]["success"], "not read again yet"
    opened.clock.advance_s(5)
    for action in ("open", "streamer.ping", "streamer.authenticate"):
        refusal, goodbye = opened.ask(connection, action, {"token": opened.sign(jti="t-2")})
        assert refusal["error"]["code"] == "UNAUTHORIZED"
        assert (goodbye["type"], goodbye["reason"]) == ("goodbye", "revoked")


def test_the_sweeper_closes_who_says_nothing(door: OpenDoor) -> None:
    opened = door()
    silent, other = opened.connect(opened.sign()), opened.connect(opened.sign(sub="bob"))
    opened.clock.advance(1)
    opened.plugin.denylist.revoke_user("default", "ada")
    door(opened).app.sweep()
    assert [message["reason"] for message in opened.transport.inbox(silent.id)] == ["revoked"]
    assert opened.transport.closed == {silent.id: (1001, "revoked")}
    assert opened.store.get_connection(silent.id) is None
    assert opened.store.get_connection(other.id) is not None


def test_who_slips_in_meanwhile_is_found_by_a_later_sweep(door: OpenDoor) -> None:
    """It was looked for before it was revoked, and stored after the sweep that followed."""
    opened = door()
    token = opened.sign()
    who = opened.plugin.verifier.verify(token)
    opened.plugin.denylist.revoke_token("default", "ada", "t-1")
    opened.app.sweep()
    now = opened.clock.now()
    late = Connection(
        id=opened.transport.connect(), principal=who, connected_at=now, expires_at=now + HOUR_MS
    )
    opened.store.put_connection(late)
    opened.clock.advance_s(60)
    assert opened.ask(late, "open")[0]["error"]["code"] == "UNAUTHORIZED"
    opened.app.sweep()
    assert late.id in opened.transport.closed


# -- what it costs


class Reads(MemoryStore):
    """Counts the reads."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.reads: Counter[str] = Counter()

    def get_value(self, key: str) -> Any:
        self.reads["/".join(key.split("/")[:2])] += 1
        return super().get_value(key)

    def values(self, prefix: str, limit: int = 1000, *, after: str | None = None) -> Any:
        self.reads["list"] += 1
        return super().values(prefix, limit, after=after)


@pytest.fixture
def counted(door: OpenDoor) -> Any:
    clock = ManualClock()
    opened = door(store=Reads(clock))
    opened.store.clock = opened.clock
    return opened


def test_a_message_costs_no_read(counted: Any) -> None:
    connections = [counted.connect(counted.sign(jti=f"{n}")) for n in range(50)]
    assert counted.store.reads == {"jwt/revoked": 100}
    counted.store.reads.clear()
    for _ in range(10):
        for connection in connections:
            assert counted.ask(connection, "open")[0]["success"]
        counted.clock.advance_s(1)
    assert counted.store.reads == {"jwt/last": 2}, "one in five seconds"


def test_a_revocation_is_looked_up_once_for_those_who_were_here(counted: Any) -> None:
    connections = [counted.connect(counted.sign(jti=f"{n}")) for n in range(50)]
    counted.plugin.denylist.revoke_token("default", "bob", "x")
    counted.clock.advance_s(5)
    counted.store.reads.clear()
    for _ in range(3):
        for connection in connections:
            assert counted.ask(connection, "open")[0]["success"]
    assert counted.store.reads == {"jwt/last": 1, "jwt/revoked": 100}
    counted.clock.advance_s(120)
    new = counted.connect(counted.sign())
    counted.store.reads.clear()
    assert counted.ask(new, "open")[0]["success"]
    assert counted.store.reads == {"jwt/last": 1}, "it was looked up when it connected"


def test_a_sweep_costs_a_read_unless_somebody_was_revoked_lately(counted: Any) -> None:
    denylist = counted.plugin.denylist
    denylist.revoke_token("default", "bob", "x")
    for after_s, lists in ((0, True), (599, True), (2, False)):
        counted.clock.advance_s(after_s)
        counted.store.reads.clear()
        denylist.end_connections(pytest.fail)
        assert counted.store.reads["jwt/last"] == 1
        assert ("list" in counted.store.reads) == lists


def test_a_store_that_fails(door: OpenDoor, logs: Lines) -> None:
    opened = door()
    connection = opened.connect(opened.sign())
    opened.store.faults.fail_next("get_value", StoreError("no"))
    assert opened.ask(connection, "open")[0]["error"]["code"] == "STORAGE_ERROR"
    assert opened.ask(connection, "open")[0]["success"]
    opened.clock.advance_s(5)
    logs.clear()
    opened.store.faults.fail_next("get_value", StoreError("no"))
    assert opened.ask(connection, "open")[0]["success"], "what is known goes on"
    assert [line["event"] for line in logs] == ["revocations cannot be read"]
    opened.store.faults.fail_next("get_value", StoreError("no"))
    assert opened.refusal(opened.sign()).http_status == 503, "and nobody is let in"


def test_a_sweep_of_very_many_ends_in_time() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    denylist = Denylist(store, clock, SETTINGS)
    now = clock.now()
    for n in range(20):
        put = Connection(id=f"c-{n}", principal=principal(clock), expires_at=now + HOUR_MS)
        store.put_connection(put)
    denylist.revoke_token("acme", "ada", "t-1")
    ended: list[str] = []

    def dismiss(connection_id: str, _reason: str) -> None:
        ended.append(connection_id)
        clock.advance_s(1)

    denylist.end_connections(dismiss)
    assert len(ended) == 6, "five seconds' worth"


def test_no_revocation_is_one_too_many() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    denylist = Denylist(store, clock, SETTINGS)
    users = [f"user-{n}" for n in range(1_001)]  # more than the store lists at once
    for user in users:
        ends_at = clock.now() + HOUR_MS
        who = principal(clock, user)
        store.put_connection(Connection(id=user, principal=who, expires_at=ends_at))
        denylist.revoke_token("acme", user, "t-1")
    assert sorted(one["user"] for one in denylist.entries()) == sorted(users)
    ended: list[str] = []
    denylist.end_connections(lambda connection_id, _: ended.append(connection_id))
    assert sorted(ended) == sorted(users)
