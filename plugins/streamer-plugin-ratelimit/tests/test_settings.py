"""What the settings may say, and the sentences about what they may not."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from streamer_plugin_ratelimit import RateLimitPlugin
from streamer_plugin_ratelimit.limit import Limit
from streamer_plugin_ratelimit.settings import LimitSettings

from streamer_core.errors import ConfigurationError
from streamer_core.sections import validate_section

Start = Callable[..., Any]
GOOD = {"name": "messages", "rate": "5/min"}


@pytest.mark.parametrize(
    ("rate", "per_s", "burst"),
    [
        ("100/s", 100, 100),
        ("5/min", 5 / 60, 5),
        ("1000 / h", 1000 / 3600, 1000),
        ("10/d", 10 / 86_400, 10),
        ("0.5/s", 0.5, 1),
        ("2.5/s", 2.5, 2),
    ],
)
def test_rates(rate: str, per_s: float, burst: int) -> None:
    limit = Limit(LimitSettings(name="x", rate=rate))
    assert limit.per_s == pytest.approx(per_s)
    assert limit.burst == burst


@pytest.mark.parametrize(
    ("rate", "burst", "slice_"),
    [
        ("5/min", 5, 1),
        ("10/s", 10, 1),
        ("15/s", 1000, 1),
        ("16/s", 1000, 2),
        ("100/s", 200, 12),
        ("1000/s", 10, 1),
        ("1000/s", 1000, 125),
    ],
)
def test_a_slice_is_small_beside_its_limit(rate: str, burst: int, slice_: int) -> None:
    assert Limit(LimitSettings(name="x", rate=rate, burst=burst)).slice == slice_


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"rate": "fast"}, "limit 'messages': rate 'fast': write how many in which time, as in "),
        ({"rate": "0/s"}, "limit 'messages': rate '0/s': write how many in which time"),
        ({"rate": "5/year"}, "'100/s', '5/min', '1000/h' or '10/d'"),
        ({"rate": "9" * 400 + "/s"}, "9: write how many in which time"),
        ({"burst": 0}, "limit 'messages': burst: must be at least 1"),
        ({"burst": 10**400}, "limit 'messages': burst: must be at least 1, and at most 1,000,000"),
        ({"rate": "1/d", "burst": 10**9}, "rate and burst: a burst that is used up must be back"),
        ({"rate": "0." + "0" * 20 + "1/d"}, "rate and burst: a burst that is used up"),
        ({"name": "All messages"}, "limit 'All messages': name: write up to 64 of a-z 0-9 _ . -"),
        ({"of": "messages"}, "of 'messages': write 'message' or 'connect'"),
        ({"by": ["ip"]}, "by 'ip': write some of 'action', 'address', 'connection', 'tenant', "),
        ({"of": "connect", "by": ["connection"]}, "each connection is new: leave them out"),
        ({"of": "connect", "actions": ["x"]}, "who connects has no action yet"),
        ({"actions": ["*.make"]}, "actions '*.make': write an action, or its beginning and '*'"),
        ({"actions": [""]}, "actions '': write an action"),
        ({"tier": "fre"}, "tier 'fre' is nobody's; [plugins.ratelimit.tiers] gives 'free'"),
        ({"rat": "1/s"}, "limits.0.rat: there is no such setting; did you mean 'rate'?"),
        ({"by": "user"}, 'limits.0.by: write a list, as in by = ["…"]'),
        ({"rate": 5}, "limits.0.rate: Input should be a valid string"),
    ],
)
def test_what_a_limit_may_not_say(start: Start, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        start({**GOOD, **wrong}, tiers={"default": "free"})
    assert says in str(caught.value)
    assert "[plugins.ratelimit]" in str(caught.value)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"on_store_failure": "open"}, "on_store_failure: write 'allow' or 'refuse'"),
        ({"close_after": -1}, "close_after: must be at least 1, or 0 for never"),
        ({"close_within": "0s"}, "close_within: must be more than nothing"),
        ({"tiers": {"claims": "plan"}}, "tiers.claims: there is no such setting; did you mean"),
        ({"tiers": {"claim": "plan"}}, "write keep_claims = ['plan'] into [streamer]"),
    ],
)
def test_what_the_section_may_not_say(start: Start, section: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        start(GOOD, **section)
    assert says in str(caught.value)


def test_two_limits_may_not_share_a_name(start: Start) -> None:
    with pytest.raises(ConfigurationError, match="two are named 'messages'"):
        start(GOOD, GOOD)


@pytest.mark.parametrize("pattern", ["reprot.*", "report", "other.*", "OTHER"])
def test_a_limit_of_no_action_stops_the_start(start: Start, pattern: str) -> None:
    app = start({**GOOD, "actions": ["other", pattern]}).app
    with pytest.raises(ConfigurationError) as caught:
        app.hooks.hook.streamer_startup(app=app)
    assert str(caught.value) == (
        f"[plugins.ratelimit] limit 'messages': actions {pattern!r} is about no action; "
        "there are: other, report.make, report.read, and streamer.*"
    )


@pytest.mark.parametrize(
    "pattern", ["other", "report.*", "report.make", "*", "streamer.ping", "streamer.*", "stream*"]
)
def test_what_is_about_some_action_starts(start: Start, pattern: str) -> None:
    app = start({**GOOD, "actions": [pattern]}).app
    app.hooks.hook.streamer_startup(app=app)


def test_where_no_handlers_are_loaded_nobody_can_tell(start: Start) -> None:
    assert start({**GOOD, "actions": ["reprot.*"]}), "it has started without any"


def test_its_settings_need_no_pydantic() -> None:
    code = """
import sys
from streamer_core.sections import validate_section
from streamer_plugin_ratelimit import RateLimitPlugin

section = {
    "limits": [{"name": "x", "rate": "1/s", "by": ["user"], "tier": "free"}],
    "tiers": {"scopes": {"plan:free": "free"}},
    "close_within": "10s",
}
made = validate_section(RateLimitPlugin.Settings, section, "here")
assert made.limits[0].by == ("user",) and made.close_within == 10_000
assert "pydantic" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_said_is_no_limit() -> None:
    assert validate_section(RateLimitPlugin.Settings, {}, "here").limits == ()
