"""Quotas are exact: under repeats, retries, crashes, duplicates, and many at once."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from streamer_plugin_tenancy import TenancyPlugin
from streamer_plugin_tenancy.admin import Admin
from streamer_plugin_tenancy.quotas import of_request

from streamer_core import Context
from streamer_core.engine.submit import settled_of, taken_of
from streamer_core.errors import ConfigurationError, QuotaExceeded, StoreError
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.message import Message
from streamer_core.model.request import Status
from streamer_core.settings import validate_section
from streamer_core.testing import ManualClock, MemoryStore
from tests.unit.harness import Rig, Wire, code_of, handler

MakeRig = Callable[..., Rig]
Acmes = Callable[[Rig], Any]
DAY_MS = 86_400_000


@handler("echo", estimated="2s")
def echo(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


@handler("once", idempotent=True)
def once(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


@handler("queued", mode="async", retry={"max_attempts": 2, "backoff": 1})
def queued(payload: dict[str, Any], ctx: Context) -> str:
    if payload.get("fail"):
        raise RuntimeError("no")
    return "done"


def limited(make: MakeRig, *sources: Any, beside: Rig | None = None, **quotas: int) -> Rig:
    return make(*(sources or (echo, once, queued)), beside=beside, sections={"tenancy": quotas})


def admin_of(rig: Rig) -> Admin:
    plugin: Any = rig.app.hooks.get_plugin("tenancy")
    admin: Admin = plugin.admin
    return admin


def used(rig: Rig, quota: str, tenant: str = "acme") -> float:
    level: float = admin_of(rig).show(tenant)["quotas"][quota]["used"]
    return level


def refused(answer: Wire) -> Any:
    assert code_of(answer) == "QUOTA_EXCEEDED"
    return answer["error"]["details"]


# -- connections


def test_connections_are_counted_until_they_are_forgotten(make_rig_on: MakeRig) -> None:
    rig = limited(make_rig_on, connections=2)
    first, _ = rig.client(), rig.client()
    with pytest.raises(QuotaExceeded) as no:
        rig.client()
    assert no.value.details == {"quota": "connections", "limit": 2, "used": 2, "resets_at": None}
    rig.client(tenant="other")
    first.ask("streamer.authenticate", {"token": "acme/ann/"})
    for _ in range(2):
        rig.app.disconnect(first.id)
    assert used(rig, "connections") == 1
    rig.client()
    rig.clock.advance(7_200_000)  # nobody tells that any of them has gone
    rig.app.sweep()
    assert used(rig, "connections") == 0


def test_who_is_gone_and_nobody_told_of_keeps_nobody_out(make_rig: MakeRig) -> None:
    rig = limited(make_rig, connections=2)
    gone, there = rig.client(), rig.client()
    gone.go()
    with pytest.raises(QuotaExceeded):  # it might be one that is just being opened
        rig.client()
    rig.clock.advance(60_001)
    rig.client()
    assert used(rig, "connections") == 2
    assert next(iter(rig.store.connections())).id == there.id
    with pytest.raises(QuotaExceeded):
        rig.client()


def test_whom_the_store_could_not_forget_keeps_nobody_out(make_rig: MakeRig, acmes: Acmes) -> None:
    rig = limited(make_rig, connections=1)
    gone = rig.client()
    gone.go()
    acmes(rig).faults.fail_next("delete_connection", StoreError("down"))
    rig.app.disconnect(gone.id)
    rig.clock.advance(60_001)
    rig.client()
    assert used(rig, "connections") == 1


# -- requests in flight, and their bytes


def test_every_end_gives_its_place_back(make_rig_on: MakeRig) -> None:
    rig = limited(make_rig_on, requests_in_flight=4, stored_bytes=10_000)
    client = rig.client()
    held = 0
    for name in ("ends", "fails", "is-cancelled", "is-lost"):
        body = {"action": "queued", "id": name, "payload": {"fail": name == "fails"}}
        message = json.dumps(body).encode()
        held += len(message)
        for _ in range(2):  # a repeat takes nothing
            client.raw(message)
    assert used(rig, "requests_in_flight") == 4
    assert used(rig, "stored_bytes") == held
    details = refused(client.ask("queued", {}, id="one-more"))
    assert details == {"quota": "requests_in_flight", "limit": 4, "used": 4, "resets_at": None}
    assert used(rig, "stored_bytes") == held

    rig.claim(client.ref("is-lost"), lease_ms=1)
    for _ in range(2):
        client.send("streamer.cancel", {"request_id": "is-cancelled"})
    assert rig.work() == 2
    assert rig.stored(client.ref("fails")).status is Status.RETRYING
    assert used(rig, "requests_in_flight") == 2
    rig.clock.advance(10)
    rig.app.sweep()
    assert used(rig, "requests_in_flight") == 2
    rig.clock.advance(600_000)
    rig.work()
    assert [rig.stored(client.ref(one)).status for one in ("fails", "is-lost")] == [
        Status.FAILED,
        Status.COMPLETED,
    ]
    assert (used(rig, "requests_in_flight"), used(rig, "stored_bytes")) == (0, 0)


def test_a_worker_that_dies_each_time_leaks_nothing(make_rig: MakeRig) -> None:
    rig = limited(make_rig, requests_in_flight=1)
    client = rig.client()
    client.ask("queued", {}, id="r")
    for _ in range(2):
        rig.claim(client.ref("r"), lease_ms=1)
        rig.clock.advance(10_000)
        rig.app.sweep()
        rig.app.sweep()
        rig.clock.advance(600_000)
    assert rig.stored(client.ref("r")).status is Status.FAILED
    assert used(rig, "requests_in_flight") == 0


def test_a_write_whose_answer_was_lost_is_counted_once(make_rig: MakeRig, acmes: Acmes) -> None:
    rig = limited(make_rig, requests_in_flight=5, requests_a_day=5)
    client = rig.client()
    for verb in ("enqueue", "finish"):
        acmes(rig).faults.fail_next(verb, StoreError("lost"), after=True)
    assert code_of(client.ask("queued", {}, id="r")) == "STORAGE_ERROR"
    assert client.ask("queued", {}, id="r")["message"] == "Known already"
    assert (used(rig, "requests_in_flight"), used(rig, "requests_a_day")) == (1, 1)
    rig.work()
    rig.clock.advance(60_000)
    rig.app.sweep()
    rig.work()
    assert rig.stored(client.ref("r")).status is Status.COMPLETED
    assert (used(rig, "requests_in_flight"), used(rig, "requests_a_day")) == (0, 1)


def test_an_idempotent_request_is_counted_while_it_runs(make_rig: MakeRig) -> None:
    seen: list[float] = []

    @handler("looks", idempotent=True)
    def looks(payload: dict[str, Any]) -> None:
        seen.append(used(rig, "requests_in_flight"))

    rig = limited(make_rig, looks, requests_in_flight=1)
    client = rig.client()
    for _ in range(2):
        client.ask("looks", {}, id="r")
    assert (seen, used(rig, "requests_in_flight")) == ([1], 0)


def test_no_more_than_agreed_from_many_processes_at_once(make_rig_on: MakeRig) -> None:
    first = limited(make_rig_on, requests_in_flight=5, requests_a_day=1000)
    rigs = [first, limited(make_rig_on, beside=first, requests_in_flight=5, requests_a_day=1000)]
    clients = [rig.client() for rig in rigs]

    def send(number: int) -> str:
        # Each id twice, by another process each time.
        answer = clients[number % 2].ask("queued", {}, id=f"r-{number // 2}")
        kind: str = answer["type"]
        return kind

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(send, range(20)))
    assert used(first, "requests_in_flight") == 5
    assert used(first, "requests_a_day") == 5
    assert answers.count("acknowledgment") >= 5
    first.work()
    assert used(first, "requests_in_flight") == 0


# -- of the day


@pytest.mark.parametrize("action", ["echo", "once", "queued"])
def test_requests_a_day(make_rig: MakeRig, action: str) -> None:
    rig = limited(make_rig, requests_a_day=2)
    client = rig.client(expires=rig.clock.now() + 10 * DAY_MS)
    for number in range(2):
        assert client.ask(action, {}, id=f"r-{number}")["type"] != "error"
    if action != "echo":
        assert client.ask(action, {}, id="r-1")["type"] != "error"  # a repeat
    midnight = (rig.clock.now() // DAY_MS + 1) * DAY_MS
    assert refused(client.ask(action, {}, id="r-2")) == {
        "quota": "requests_a_day",
        "limit": 2,
        "used": 2,
        "resets_at": midnight,
    }
    assert rig.store.get(client.ref("r-2")) is None
    rig.clock.advance(midnight - rig.clock.now())
    assert rig.client().ask(action, {}, id="r-2")["type"] != "error"


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_execution_seconds_are_estimated_first_and_put_right_then(
    make_rig: MakeRig, mode: str
) -> None:
    @handler("slow", mode=mode, estimated="2s")
    def slow(payload: dict[str, Any]) -> None:
        seen.append(used(rig, "execution_seconds_a_day"))
        rig.clock.advance(3_500)

    seen: list[float] = []
    rig = limited(make_rig, slow, execution_seconds_a_day=5)
    client = rig.client()
    client.ask("slow", {}, id="r-1")
    rig.work()
    assert (seen, used(rig, "execution_seconds_a_day")) == ([2], 3.5)
    details = refused(client.ask("slow", {}, id="r-2"))
    assert (details["quota"], details["used"]) == ("execution_seconds_a_day", 3.5)


def test_a_clock_that_is_ahead_begins_no_day_anew() -> None:
    """What a process ends for which it is tomorrow was begun today, and today goes on."""
    midnight = 20_000 * DAY_MS
    clock, ahead = ManualClock(midnight - 1_000), ManualClock(midnight + 1_000)
    counts = of_request(
        "acme",
        {"execution_seconds_a_day": 5},
        clock,
        request=Message(id="r", action="queued"),
        handler=HandlerSpec(action="queued", call=queued),
        stored=True,
    )
    taken, settled = taken_of(counts), settled_of(counts)
    store = MemoryStore(clock)
    assert [store.count(taken).accepted for _ in range(6)] == [True] * 5 + [False]
    ended = [one.whole(seconds=1, updates=1, out_bytes=0) for one in settled]
    assert MemoryStore(ahead, store.data).count(ended).levels == (5, 5)
    assert not store.count(taken).accepted


# -- whose


def test_a_tenant_may_have_quotas_of_its_own(make_rig: MakeRig) -> None:
    rig = limited(make_rig, requests_a_day=1)
    admin = admin_of(rig)
    admin.quota("acme", {"requests_a_day": "none"})
    admin.quota("small", {"requests_a_day": 0, "connections": "3"})
    client, small = rig.client(), rig.client(tenant="small")
    for _ in range(3):
        assert client.ask("echo", {})["type"] == "response"
    assert refused(small.ask("echo", {}))["limit"] == 0
    assert used(rig, "connections", "small") == 1
    admin.quota("small", {"requests_a_day": "default"})
    rig.clock.advance(5_000)
    assert small.ask("echo", {})["type"] == "response"
    assert refused(small.ask("echo", {}))["limit"] == 1


def test_what_was_there_before_a_quota_is_not_counted(make_rig: MakeRig) -> None:
    rig = limited(make_rig)
    before = rig.client()
    before.ask("queued", {}, id="before")
    admin_of(rig).quota("acme", {"connections": 1, "requests_in_flight": 1})
    rig.clock.advance(5_000)
    after = rig.client()
    after.ask("queued", {}, id="after")
    assert (used(rig, "connections"), used(rig, "requests_in_flight")) == (1, 1)
    rig.app.disconnect(before.id)
    rig.app.cancel(before.ref("before"))
    assert (used(rig, "connections"), used(rig, "requests_in_flight")) == (1, 1)


def test_without_settings_nothing_is_limited(make_rig: MakeRig) -> None:
    rig = make_rig(queued, sections={"tenancy": {"usage": False}})
    client = rig.client()
    for number in range(20):
        client.ask("queued", {}, id=f"r-{number}")
    assert rig.stored(client.ref("r-1")).settle == ()
    limits = {one["limit"] for one in admin_of(rig).show("acme")["quotas"].values()}
    assert limits == {None}


@pytest.mark.parametrize(
    ("section", "said"),
    [
        *(
            ({"connections": limit}, "connections: must be from 0 to .*; leave it out for no limit")
            for limit in (-1, 10**16, 10**400)
        ),
        ({"requests_per_day": 1}, "did you mean 'requests_a_day'"),
        *(
            ({"price_second": price}, "price_second: must be a number from 0")
            for price in (-1, float("nan"), float("inf"))
        ),
        ({"cache": "2m"}, "cache: must be at most 60s: so late is a suspension noticed"),
        ({"usage_flush": 0}, "usage_flush: must be more than nothing"),
        ({"requests_a_day": "many"}, "requests_a_day"),
        ({"tables": {"default": {"prefix": "a-"}}}, "tables: no tenant can be named 'default'"),
    ],
)
def test_a_bad_setting_stops_the_start(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        validate_section(TenancyPlugin.Settings, section, "[plugins.tenancy]")
