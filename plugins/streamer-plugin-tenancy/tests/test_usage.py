"""Usage of stored requests is exact; what is answered at once is gathered and written."""

from collections.abc import Callable
from typing import Any

import pytest
from streamer_plugin_tenancy.usage import HOUR_MS, Usage

from streamer_core import Context
from streamer_core.errors import StoreError
from tests.conftest import Lines
from tests.unit.harness import Rig, handler

MakeRig = Callable[..., Rig]
Acmes = Callable[[Rig], Any]


@handler("echo")
def echo(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


def read(rig: Rig, tenant: str = "acme", last_ms: int = 48 * HOUR_MS) -> list[dict[str, Any]]:
    plugin: Any = rig.app.hooks.get_plugin("tenancy")
    now = rig.clock.now()
    rows: list[dict[str, Any]] = plugin.admin.used(tenant, now - last_ms, now + HOUR_MS)
    return rows


def test_stored_requests_are_counted_exactly(make_rig_on: MakeRig) -> None:
    @handler("work", mode="async", retry={"max_attempts": 2})
    def work(payload: dict[str, Any], ctx: Context) -> None:
        rig.clock.advance(1_500)
        ctx.emit("piece")
        ctx.checkpoint(None)
        if ctx.attempt == 1 and payload["n"] == 1:
            raise RuntimeError("once more")

    prices = {"request": 1, "second": 0.1, "message": 0.01, "gigabyte": 1e6}
    section = {f"price_{what}": price for what, price in prices.items()}
    rig = make_rig_on(work, sections={"tenancy": section})
    client, other = rig.client(), rig.client(tenant="other")
    for number in (1, 1, 2):  # one comes twice
        client.ask("work", {"n": number}, id=f"r-{number}")
    other.ask("work", {"n": 3}, id="r-3")
    rig.work()
    rig.clock.advance(600_000)
    rig.work()

    (row,) = read(rig)
    assert row["action"] == "work"
    assert (row["requests"], row["seconds"], row["messages"]) == (2, 4.5, 5)
    came = [f'{{"action": "work", "id": "r-{n}", "payload": {{"n": {n}}}}}' for n in (1, 2)]
    put_out = [*3 * ['{"data":"piece"}'], *2 * ['{"result":null}']]
    assert row["bytes"] == sum(map(len, came + put_out))
    assert row["requests_at_once"] == row["seconds_at_once"] == 0
    assert row["estimated_cost"] == pytest.approx(2 * 1 + 4.5 * 0.1 + 5 * 0.01 + row["bytes"] / 1e3)
    assert [one["requests"] for one in read(rig, "other")] == [1]
    assert read(rig, "nobody") == []


def test_a_worker_that_is_lost_is_paid_until_its_lease_is_over(make_rig: MakeRig) -> None:
    @handler("work", mode="async", retry={"max_attempts": 1})
    def work() -> None: ...

    rig = make_rig(work)
    client = rig.client()
    client.ask("work", {}, id="r")
    rig.claim(client.ref("r"), lease_ms=30_000)
    rig.clock.advance(50_000)
    for _ in range(2):
        rig.app.sweep()
    assert [(one["requests"], one["seconds"], one["messages"]) for one in read(rig)] == [(1, 30, 1)]


def test_what_is_answered_at_once_is_gathered(make_rig: MakeRig) -> None:
    rig = make_rig(echo)
    client = rig.client()
    for number in range(5):
        client.ask("echo", {"n": number})
    assert read(rig) == []
    rig.app.close()
    (row,) = read(make_rig(beside=rig))
    assert (row["requests"], row["requests_at_once"], row["messages_at_once"]) == (0, 5, 5)
    assert row["bytes_at_once"] == 5 * len('{"action": "echo", "payload": {"n": 0}}')


def test_usage_is_by_action_and_hour(make_rig: MakeRig) -> None:
    @handler("work", mode="async")
    def work() -> None: ...

    rig = make_rig(echo, work)
    client = rig.client()
    hour = rig.clock.now() // HOUR_MS * HOUR_MS
    for _ in range(2):
        client.ask("work", {})
        client.ask("echo", {})
        rig.clock.advance(HOUR_MS)
    rig.app.close()
    rows = [(one["hour"], one["action"]) for one in read(make_rig(beside=rig))]
    assert rows == [(at, action) for at in (hour, hour + HOUR_MS) for action in ("echo", "work")]


def test_usage_is_kept_for_as_long_as_it_is_told_to(make_rig: MakeRig) -> None:
    @handler("work", mode="async")
    def work() -> None: ...

    rig = make_rig(work, sections={"tenancy": {"usage_keep": "1d"}})
    rig.client().ask("work", {})
    rig.clock.advance(24 * HOUR_MS)
    assert len(read(rig)) == 1
    rig.clock.advance(2 * HOUR_MS)
    assert read(rig) == []


def usage_on(rig: Rig, **given: Any) -> Usage:
    return Usage(rig.app.store, rig.clock, **{"keep_ms": HOUR_MS, "flush_s": 10.0, **given})


def test_what_was_gathered_is_written_by_itself(make_rig: MakeRig) -> None:
    rig = make_rig(echo)
    usage = usage_on(rig, flush_s=0.01)
    usage.gather("acme", "echo", seconds=1, size=2)
    thread = usage._thread
    assert thread is not None
    deadline = 20.0
    while not read(rig) and deadline > 0:
        thread.join(0.01)
        deadline -= 0.01
    assert [one["seconds_at_once"] for one in read(rig)] == [1]
    usage.close()
    assert not thread.is_alive()


def test_a_flush_between_events_waits_until_it_is_due(make_rig: MakeRig) -> None:
    rig = make_rig(echo)
    plugin: Any = rig.app.hooks.get_plugin("tenancy")
    rig.client().ask("echo", {})
    plugin.streamer_on_flush()
    assert read(rig) == []
    rig.clock.advance(10_000)
    plugin.streamer_on_flush()
    assert [one["requests_at_once"] for one in read(rig)] == [1]


def test_what_the_store_does_not_take_is_lost_and_not_counted_twice(
    make_rig: MakeRig, logs: Lines, acmes: Acmes
) -> None:
    rig = make_rig(echo)
    usage = usage_on(rig)
    usage.gather("acme", "echo", seconds=1, size=2)
    acmes(rig).faults.fail_next("count", StoreError("lost"), after=True)
    usage.flush()
    usage.flush()
    assert [one["requests_at_once"] for one in read(rig)] == [1]
    assert [line["event"] for line in logs] == ["usage could not be written"]
    usage.close()


def test_a_busy_tenants_counters_are_spread(make_rig: MakeRig) -> None:
    @handler("work", mode="async")
    def work() -> None: ...

    rig = make_rig(work)
    client = rig.client()
    keys = set()
    for number in range(200):
        client.ask("work", {}, id=f"r-{number}")
        keys |= {one.key for one in rig.stored(client.ref(f"r-{number}")).settle}
    assert len(keys) == 3 * 16
