"""The engine says for which tenant a thread works: to handlers, hooks and log lines."""

import asyncio
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from streamer_core.log import get_logger
from streamer_core.markers import hookimpl
from streamer_core.scope import TenantScope, current_tenant
from tests.unit.harness import Rig, handler

Lines = list[MutableMapping[str, Any]]


@handler("now")
def now(payload: dict[str, Any]) -> str | None:
    get_logger().info("a line of no context")
    return current_tenant()


@handler("queued", mode="async")
async def queued(payload: dict[str, Any]) -> list[str | None]:
    return [current_tenant(), await asyncio.to_thread(current_tenant)]


class Asked:
    """Notes for whom it was asked and told."""

    def __init__(self) -> None:
        self.by: dict[str, str | None] = {}

    @hookimpl
    def streamer_limit(self) -> None:
        self.by["limit"] = current_tenant()

    @hookimpl
    def streamer_on_connect(self) -> None:
        self.by["connect"] = current_tenant()

    @hookimpl
    def streamer_on_transition(self, after: Any) -> None:
        self.by[after.value] = current_tenant()


def test_a_message_is_handled_for_its_senders_tenant(logs: Lines) -> None:
    asked = Asked()
    client = Rig(now, plugins=[asked]).client(tenant="acme")
    assert client.ask("now", {})["data"] == "acme"
    assert asked.by == {"limit": "acme", "connect": "acme"}
    assert [line["tenant"] for line in logs if line["event"] == "a line of no context"] == ["acme"]
    assert current_tenant() is None


def test_a_request_is_run_and_settled_for_its_own() -> None:
    asked = Asked()
    rig = Rig(queued, plugins=[asked])
    client = rig.client(tenant="acme")
    client.ask("queued", {}, id="r")
    assert rig.work() == 1
    assert client.of("complete")[0]["result"] == ["acme", "acme"]
    assert asked.by["PROCESSING"] == asked.by["COMPLETED"] == "acme"


def test_the_pulse_looks_at_each_run_for_its_own() -> None:
    with ThreadPoolExecutor(1) as other_thread:

        @handler("looked_at")
        def looked_at() -> list[str | None]:
            (running,) = rig.pulse.running
            look = other_thread.submit(running.inside, current_tenant)
            return [look.result(timeout=20), other_thread.submit(current_tenant).result(timeout=20)]

        rig = Rig(looked_at)
        assert rig.client(tenant="acme").ask("looked_at")["data"] == ["acme", None]


def test_the_sweeper_deals_with_each_request_for_its_own() -> None:
    asked = Asked()
    rig = Rig(queued, plugins=[asked])
    client = rig.client(tenant="acme")
    client.ask("queued", {}, id="r")
    rig.claim(client.ref("r"), lease_ms=1)
    rig.clock.advance(2)
    assert rig.app.sweep().lapsed == 1
    assert asked.by["RETRYING"] == "acme"


def test_a_scope_gives_back_the_one_around_it() -> None:
    with TenantScope("acme"):
        with TenantScope(None):
            assert current_tenant() is None
        assert current_tenant() == "acme"
