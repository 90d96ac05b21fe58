"""A suspended tenant does no new work; its queued work waits; others notice nothing."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from streamer_plugin_tenancy.actions import handlers
from streamer_plugin_tenancy.admin import Admin

from streamer_core import Context
from streamer_core.errors import Forbidden, StoreError
from streamer_core.markers import hookimpl
from streamer_core.model.principal import Principal
from streamer_core.model.request import Status
from streamer_core.scope import TenantScope
from tests.unit.harness import Client, Rig, code_of, handler

MakeRig = Callable[..., Rig]


@handler("echo")
def echo(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


@handler("queued", mode="async")
def queued(ctx: Context) -> str:
    return "done"


def plugin_of(rig: Rig) -> Any:
    return rig.app.hooks.get_plugin("tenancy")


def admin_of(rig: Rig) -> Admin:
    admin: Admin = plugin_of(rig).admin
    return admin


def with_actions(make: MakeRig, **given: Any) -> Rig:
    """Make an app that has the plugin's actions, as one that loads handlers does."""
    rig = make(echo, queued, **given)
    for function in handlers(lambda: admin_of(rig), rig.app):
        rig.app.registry.add(function.__streamer__)
    return rig


def is_open(client: Client) -> bool:
    return client.rig.transport.is_open(client.id)


@pytest.mark.parametrize("open_store", ["sqlite", "ministack"], indirect=True)
def test_a_suspended_tenant_is_turned_away_and_its_connections_closed(
    make_rig_on: MakeRig,
) -> None:
    rig = with_actions(make_rig_on)
    theirs, more, others = rig.client(), rig.client("bob"), rig.client(tenant="other")
    admin_of(rig).suspend("acme")
    assert rig.work() == 1
    assert not is_open(theirs)
    assert not is_open(more)
    assert is_open(others)
    assert [one.principal.tenant for one in rig.store.connections()] == ["other"]
    with pytest.raises(Forbidden, match="The tenant is suspended"):
        rig.client()
    assert code_of(theirs.ask("echo", {})) == "FORBIDDEN"
    assert others.ask("echo", {"n": 1})["data"] == {"n": 1}
    admin_of(rig).resume("acme")
    assert rig.client().ask("echo", {})["type"] == "response"


def test_what_a_suspended_tenant_sends_counts_for_no_limit(make_rig: MakeRig) -> None:
    counted = []

    class Limit:
        @hookimpl
        def streamer_limit(self, principal: Principal) -> None:
            counted.append(principal.tenant)

    rig = with_actions(make_rig)
    rig.plug(Limit())
    client, other = rig.client(), rig.client(tenant="other")
    counted.clear()
    admin_of(rig).suspend("acme")
    assert code_of(client.ask("echo", {})) == "FORBIDDEN"
    assert other.ask("echo", {})["type"] == "response"
    assert counted == ["other"]


def test_who_was_let_in_by_a_process_that_had_not_heard_is_closed_too(make_rig: MakeRig) -> None:
    first = with_actions(make_rig)
    second = with_actions(make_rig, beside=first)
    second.client()
    admin_of(first).suspend("acme")
    assert first.work() == 1
    late = second.client("late")
    assert is_open(late)
    first.clock.advance(5_000)
    assert first.work() == 1
    assert not is_open(late)
    admin_of(first).suspend("acme")
    admin_of(first).resume("acme")
    first.clock.advance(5_000)
    again = first.client()
    first.work()
    assert is_open(again)


def test_who_was_just_being_let_in_is_closed_too(make_rig: MakeRig) -> None:
    """Who was let in and is not stored yet is found by nobody who closes what is there."""
    rig = with_actions(make_rig)

    class Slow:
        @hookimpl(trylast=True)
        def streamer_admit(self) -> None:
            with TenantScope(None):  # others do so
                admin_of(rig).suspend("acme")
                assert rig.work() == 1
                rig.clock.advance(5_000)
                assert rig.work() == 1

    slow = Slow()
    rig.plug(slow)
    late = rig.client()
    rig.app.hooks.unregister(slow)
    assert is_open(late)
    rig.clock.advance(60_000)
    assert rig.work() == 1
    assert not is_open(late)


def test_nobody_of_the_tenant_can_keep_its_connections_from_being_closed(
    make_rig: MakeRig,
) -> None:
    first = with_actions(make_rig)
    second = with_actions(make_rig, beside=first)
    second.client()
    admin_of(first).suspend("acme")
    late = second.client("tenancy.close", scopes="streamer:admin")
    assert late.ask("streamer.list", {})["data"]["requests"] == []
    for one in admin_of(first).requests("acme"):
        for user in ("tenancy.close", "late"):
            known = second.client(user)
            assert code_of(known.ask("streamer.cancel", {"request_id": one.id})) == "NOT_FOUND"


def test_queued_work_waits_without_an_attempt_spent(make_rig: MakeRig) -> None:
    rig = with_actions(make_rig)
    client = rig.client()
    client.ask("queued", {}, id="r")
    admin_of(rig).suspend("acme")
    rig.work()
    for _ in range(3):
        waiting = rig.stored(client.ref("r"))
        assert (waiting.status, waiting.spent) == (Status.PENDING, 0)
        assert waiting.due_at == rig.clock.now() + 60_000
        rig.clock.advance(60_000)
        rig.work()
    admin_of(rig).resume("acme")
    rig.clock.advance(60_000)
    rig.work()
    assert rig.stored(client.ref("r")).status is Status.COMPLETED


def test_what_runs_goes_on_to_its_end(make_rig: MakeRig) -> None:
    @handler("runs", mode="async")
    def runs(ctx: Context) -> str:
        admin_of(rig).suspend("acme")
        return "done"

    rig = with_actions(make_rig)
    rig.app.registry.add(runs.__streamer__)  # type: ignore[attr-defined]
    client = rig.client(scopes="")
    client.ask("runs", {}, id="r")
    rig.work()
    assert rig.stored(client.ref("r")).status is Status.COMPLETED


@pytest.mark.parametrize(("cache", "seen_after_ms"), [(5, 5_000), (1, 1_000), (0, 0)])
def test_all_processes_have_noticed_within_the_cache(
    make_rig: MakeRig, cache: int, seen_after_ms: int
) -> None:
    sections = {"tenancy": {"cache": cache}}
    first = with_actions(make_rig, sections=sections)
    second = with_actions(make_rig, sections=sections, beside=first)
    client = second.client()
    assert client.ask("echo", {})["type"] == "response"
    admin_of(first).suspend("acme")
    if seen_after_ms:
        second.clock.advance(seen_after_ms - 1)
        assert client.ask("echo", {})["type"] == "response"
        second.clock.advance(1)
    assert code_of(client.ask("echo", {})) == "FORBIDDEN"


def test_where_the_store_cannot_tell_the_last_word_counts(make_rig: MakeRig) -> None:
    rig = with_actions(make_rig)
    client = rig.client()
    rig.clock.advance(5_000)
    rig.store.faults.fail_next("get_value", StoreError("down"))
    assert client.ask("echo", {})["type"] == "response"
    stranger = rig.client(tenant="other")
    plugin_of(rig).tenants._cached.clear()
    rig.store.faults.fail_next("get_value", StoreError("down"))
    assert code_of(stranger.ask("echo", {})) == "STORAGE_ERROR"


def test_nobody_but_an_operator_steers_tenants(make_rig: MakeRig) -> None:
    rig = with_actions(make_rig)
    for scopes in ("", "streamer:admin"):
        client = rig.client(scopes=scopes)
        for function in handlers(lambda: admin_of(rig), rig.app):
            answer = client.ask(function.__streamer__.action, {"tenant": "other"})
            assert code_of(answer) == "FORBIDDEN"
        shown = client.ask("streamer.actions", {})["data"]["actions"]
        assert not [one for one in shown if one["action"].startswith("tenancy.")]
    assert admin_of(rig).all() == []


def test_an_operator_steers_tenants(make_rig: MakeRig) -> None:
    rig = with_actions(make_rig)
    operator = rig.client(tenant="operators", scopes="streamer:tenants")
    made = operator.ask("tenancy.create", {"tenant": "acme", "quotas": {"connections": 1}})
    assert made["data"]["quotas"]["connections"] == {"limit": 1, "used": 0}
    again = operator.ask("tenancy.create", {"tenant": "acme"})
    assert code_of(again) == "tenancy.exists"
    client = rig.client()
    client.ask("queued", {}, id="r")
    rig.work()
    assert operator.ask("tenancy.show", {"tenant": "acme"})["data"]["quotas"]["connections"] == {
        "limit": 1,
        "used": 1,
    }
    limited = operator.ask("tenancy.quota", {"tenant": "acme", "quotas": {"connections": "none"}})
    assert limited["data"]["own_quotas"] == {"connections": None}
    (row,) = operator.ask("tenancy.usage", {"tenant": "acme", "until": 2**43})["data"]["usage"]
    assert (row["action"], row["requests"]) == ("queued", 1)
    assert operator.ask("tenancy.suspend", {"tenant": "acme"})["data"]["suspended_at"] is not None
    rig.work()
    assert not is_open(client)
    assert operator.ask("tenancy.resume", {"tenant": "acme"})["data"]["suspended_at"] is None
    assert [one["tenant"] for one in operator.ask("tenancy.show", {})["data"]["tenants"]] == [
        "acme"
    ]


def test_an_operator_exports_what_a_tenant_has_page_by_page(make_rig: MakeRig) -> None:
    rig = with_actions(make_rig, max_message_bytes=8_000)
    operator = rig.client(tenant="operators", scopes="streamer:tenants")
    client, other = rig.client(), rig.client(tenant="other")
    for number in range(7):
        client.ask("queued", {"text": "x" * 1_000}, id=f"r-{number}")
        rig.clock.advance(1)
    other.ask("queued", {}, id="r")
    client.ask("queued", {"text": "x" * 7_600}, id="long")
    pages: list[Any] = []
    cursor = None
    while not pages or cursor is not None:
        answer = operator.ask("tenancy.export", {"tenant": "acme", "limit": 6, "cursor": cursor})
        assert len(json.dumps(answer)) < 9_000
        pages.append(answer["data"]["requests"])
        cursor = answer["data"]["cursor"]
    (long,), *others = pages
    assert long["too_large"]
    assert "payload" not in long
    found = [one for page in others for one in page]
    assert [one["request_id"] for one in found] == [f"r-{number}" for number in reversed(range(7))]
    assert {one["tenant"] for one in found} == {"acme"}
    assert found[0]["payload"] == {"text": "x" * 1_000}


@pytest.mark.parametrize(
    ("action", "payload", "path"),
    [
        ("create", {}, "payload.tenant"),
        ("suspend", {"tenant": ""}, "payload.tenant"),
        ("create", {"tenant": "default"}, "payload.tenant"),
        ("create", {"tenant": "a", "quotas": {"conns": 1}}, "payload.quotas"),
        ("quota", {"tenant": "a", "quotas": [1]}, "payload.quotas"),
        ("quota", {"tenant": "a", "quotas": {"connections": "many"}}, "payload.quotas"),
        ("quota", {"tenant": "a", "quotas": {"connections": True}}, "payload.quotas"),
        ("quota", {"tenant": "a", "quotas": {"connections": 10**400}}, "payload.quotas"),
        ("quota", {"tenant": "a", "quotas": {"connections": "9" * 5_000}}, "payload.quotas"),
        ("usage", {"tenant": "a", "since": "yesterday"}, "payload.since"),
        ("export", {}, "payload.tenant"),
        ("export", {"tenant": "a", "limit": 101}, "payload.limit"),
        ("export", {"tenant": "a", "limit": True}, "payload.limit"),
        ("export", {"tenant": "a", "cursor": 5}, "payload.cursor"),
        ("export", {"tenant": "a", "cursor": "elsewhere"}, "payload.cursor"),
    ],
)
def test_what_an_operator_got_wrong_is_said(
    make_rig: MakeRig, action: str, payload: Any, path: str
) -> None:
    rig = with_actions(make_rig)
    operator = rig.client(tenant="operators", scopes="streamer:tenants")
    answer = operator.ask(f"tenancy.{action}", payload)
    assert code_of(answer) == "VALIDATION_ERROR"
    assert path in json.dumps(answer["error"])
    assert admin_of(rig).all() == []
