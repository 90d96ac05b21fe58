"""Whose limits are whose."""

from collections.abc import Callable
from typing import Any

Start = Callable[..., Any]
LIMITS = (
    {"name": "free", "rate": "1/d", "tier": "free"},
    {"name": "pro", "rate": "3/d", "tier": "pro"},
)


def test_without_a_tier_one_has_none_of_their_limits(start: Start) -> None:
    process = start(*LIMITS, tiers={"scopes": {"plan:pro": "pro", "plan:free": "free"}})
    assert process.passed(process.connect(), 5) == 5


def test_a_tier_by_scope(start: Start) -> None:
    process = start(*LIMITS, tiers={"scopes": {"plan:pro": "pro"}, "default": "free"})
    assert process.passed(process.connect(), 5) == 1
    assert process.passed(process.connect(user="bob", scopes=["x", "plan:pro"]), 5) == 3


def test_a_tier_by_tenant_goes_before_all_others(start: Start) -> None:
    process = start(*LIMITS, tiers={"tenants": {"acme": "pro"}, "scopes": {"plan:free": "free"}})
    assert process.passed(process.connect(tenant="acme", scopes=["plan:free"]), 5) == 3
    assert process.passed(process.connect(scopes=["plan:free"]), 5) == 1


def test_a_tier_by_claim_holds_for_a_stored_connection(start: Start) -> None:
    process = start(*LIMITS, keep_claims=["plan"], tiers={"claim": "plan", "default": "free"})
    opened = process.connect(claims={"plan": "pro", "secret": "x"})
    stored = process.app.store.get_connection(opened.id)
    assert stored.principal.claims == {}
    assert process.passed(stored, 5) == 3


def test_a_claim_that_names_no_tier_frees_nobody(start: Start) -> None:
    process = start(*LIMITS, keep_claims=["plan"], tiers={"claim": "plan", "default": "free"})
    for n, plan in enumerate(["premium", "", None, 3, ["pro"], {"pro": 1}]):
        client = process.connect(user=f"user-{n}", claims={"plan": plan})
        assert process.passed(client, 5) == 1, plan


def test_a_tier_that_only_the_settings_give_may_have_no_limits(start: Start) -> None:
    process = start(LIMITS[0], tiers={"tenants": {"us": "unlimited"}, "default": "free"})
    assert process.passed(process.connect(tenant="us"), 5) == 5
    assert process.passed(process.connect(), 5) == 1


def test_a_limit_without_a_tier_is_everybodys(start: Start) -> None:
    process = start({"rate": "2/d"}, LIMITS[1], tiers={"default": "pro"})
    assert process.passed(process.connect(), 5) == 2


def test_tiers_limit_connections_too(start: Start) -> None:
    process = start(
        {"rate": "1/d", "of": "connect", "tier": "free"},
        keep_claims=["plan"],
        tiers={"claim": "plan"},
    )
    assert process.connect(claims={"plan": "free"})
    assert process.connect()
    assert _refused(process, claims={"plan": "free"})


def _refused(process: Any, **principal: Any) -> bool:
    try:
        process.connect(**principal)
    except Exception as error:  # noqa: BLE001 - it tells
        return type(error).__name__ == "RateLimited"
    return False
