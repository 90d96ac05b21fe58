"""Who may send how much, in one process."""

from collections.abc import Callable
from typing import Any

import pytest
from streamer_plugin_ratelimit.limit import Limit
from streamer_plugin_ratelimit.settings import LimitSettings

from streamer_core.errors import RateLimited
from streamer_core.model.ids import tenant_of
from streamer_core.testing import ManualClock

Start = Callable[..., Any]


def test_a_bucket_empties_and_refills(start: Start, clock: ManualClock) -> None:
    process = start({"rate": "5/min"})
    ann = process.connect()
    assert process.passed(ann, 7) == 5
    refusal = process.send(ann)
    assert refusal["code"] == "RATE_LIMITED"
    assert refusal["retry"] == {"retryable": True, "after_ms": 12_001}
    assert refusal["details"] == {"limit": "limit-0"}
    clock.advance(11_991)
    assert process.send(ann)["retry"]["after_ms"] == 10
    clock.advance(10)
    assert process.passed(ann, 2) == 1
    clock.advance(3_600_000)
    assert process.passed(ann, 7) == 5, "it never holds more than its burst"


def test_a_burst_may_be_more_or_less_than_the_rate(start: Start, clock: ManualClock) -> None:
    process = start({"rate": "60/min", "burst": 3})
    ann = process.connect()
    assert process.passed(ann, 5) == 3
    clock.advance(1001)
    assert process.passed(ann, 5) == 1


@pytest.mark.parametrize("rate", ["100/s", "6000/min", "1/s", "0.5/s", "1000/h", "3 / d"])
def test_one_process_lets_pass_exactly_the_burst(start: Start, rate: str) -> None:
    process = start({"rate": rate, "burst": 77})
    assert process.passed(process.connect(), 200) == 77


def test_a_client_that_heeds_retry_after_is_not_refused_twice(
    start: Start, clock: ManualClock
) -> None:
    process = start({"rate": "100/s"}, close_after=0)
    ann = process.connect()
    refused = 0
    for _ in range(500):
        if refusal := process.send(ann):
            refused += 1
            clock.advance(refusal["retry"]["after_ms"])
            assert process.send(ann) is None
    assert refused > 20


@pytest.mark.parametrize(
    ("by", "apart", "together"),
    [
        (["user"], {"user": "bob"}, {"address": "198.51.100.1"}),
        (["user"], {"tenant": "umbrella"}, {"scopes": ["x"]}),
        (["tenant"], {"tenant": "umbrella"}, {"user": "bob"}),
        (["address"], {"address": "198.51.100.1"}, {"tenant": "umbrella", "user": "bob"}),
        (["tenant", "address"], {"address": "198.51.100.1"}, {"user": "bob"}),
        (["connection"], {}, None),
        ([], None, {"user": "bob", "tenant": "umbrella", "address": "198.51.100.1"}),
    ],
)
def test_who_has_a_count_of_their_own(
    start: Start, by: list[str], apart: Any, together: Any
) -> None:
    process = start({"rate": "1/d", "by": by})
    assert process.send(process.connect()) is None
    if together is not None:
        assert process.send(process.connect(**together))["code"] == "RATE_LIMITED"
    if apart is not None:
        assert process.send(process.connect(**apart)) is None


def test_an_action_may_have_a_count_of_its_own(start: Start) -> None:
    process = start({"rate": "1/d", "by": ["user", "action"]})
    ann = process.connect()
    assert [process.passed(ann, 2, action) for action in ("other", "report.make")] == [1, 1]


def test_names_cannot_be_moved_from_one_part_to_the_next(start: Start) -> None:
    process = start({"rate": "1/d", "by": ["user", "address"]})
    names = [
        ("a", "b/c"),
        ("a/b", "c"),
        ("a", "b/1.c"),
        ("a/1.b", "c"),
        ("", "ab"),
        ("x" * 999, ""),
    ]
    for tenant, user in names:
        assert process.send(process.connect(tenant=tenant, user=user)) is None


@pytest.mark.parametrize("by", [["tenant"], ["user"], ["address"], []])
def test_no_counter_is_taken_for_a_tenants(by: list[str]) -> None:
    for n in range(99):
        limit = Limit(LimitSettings(name=str(n), rate="1/s", by=tuple(by)))
        assert tenant_of(limit.key(("acme", "ann")[: len(limit.parts)])) is None


def test_only_the_actions_that_are_named(start: Start) -> None:
    process = start({"rate": "1/d", "actions": ["report.*", "streamer.ping"]})
    ann = process.connect()
    assert process.passed(ann, 3, "other") == 3
    assert process.send(ann, "report.make") is None
    for action in ("report.read", "streamer.ping"):
        assert process.send(ann, action)["code"] == "RATE_LIMITED"


def test_without_actions_all_count_but_ping(start: Start) -> None:
    process = start({"rate": "1/d"})
    ann = process.connect()
    assert process.send(ann, "streamer.actions") is None
    assert process.send(ann, "other")["code"] == "RATE_LIMITED"
    assert process.passed(ann, 3, "streamer.ping") == 3


def test_all_limits_must_have_room_and_none_is_taken_from_in_vain(start: Start) -> None:
    process = start(
        {"rate": "100/s", "name": "all"},
        {"rate": "1/d", "name": "reports", "actions": ["report.*"]},
    )
    ann = process.connect()
    assert process.passed(ann, 8, "other") == 8, "and more of all is at hand"
    assert process.passed(ann, 50, "report.make") == 1
    assert process.send(ann, "report.make")["details"] == {"limit": "reports"}
    assert process.passed(ann, 150, "other") == 91
    assert {str(tags) for tags in process.measured.named("ratelimit.refused")} == {
        "{'limit': 'all'}",
        "{'limit': 'reports'}",
    }


def test_the_tightest_limit_holds_to_the_last(start: Start) -> None:
    for tight, loose in ((0, 1), (1, 0)):
        limits = [{"rate": "100/s", "burst": burst} for burst in (96, 97)]
        process = start(limits[tight], limits[loose])
        assert process.passed(process.connect(), 150) == 96


def test_connections_are_limited_too(start: Start, clock: ManualClock) -> None:
    process = start({"rate": "2/min", "of": "connect", "by": ["address"]})
    ann = [process.connect(), process.connect(user="bob")][0]
    with pytest.raises(RateLimited) as caught:
        process.connect()
    assert caught.value.retry_after_ms == 30_001
    assert caught.value.close is None
    assert process.connect(address="198.51.100.1")
    assert process.passed(ann, 9) == 9, "messages are not"
    clock.advance(30_001)
    assert process.connect()


def test_a_client_without_an_address_has_a_count_too(start: Start) -> None:
    process = start({"rate": "1/d", "by": ["address"]})
    assert process.passed(process.connect(address=None), 2) == 1


def test_without_limits_nothing_is_refused(start: Start) -> None:
    process = start()
    assert process.passed(process.connect(), 300) == 300
