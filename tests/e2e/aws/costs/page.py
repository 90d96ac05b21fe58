"""docs/cost.md: what each journey asks of AWS, and what that costs.

`python -m tests.e2e.aws.costs.page` writes it; the tests hold it to what is counted.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.aws.cloud import template
from tests.e2e.aws.costs.journeys import PINGS, SWEEP, Journey, Walker
from tests.e2e.aws.costs.prices import FUNCTION_GB, FUNCTION_S, IDLE_READS_A_MINUTE, PRICES
from tests.emulators import CREDENTIALS, ministack

PAGE = Path(__file__).parents[4] / "docs" / "cost.md"
TEMPLATE = Path(__file__).with_suffix(".md")

MESSAGE_BOUND, MESSAGE_AIM = 1e-4, 5e-6
HOUR_BOUND, HOUR_AIM = 1e-3, 1e-4

_OPERATIONS = (
    *("get_item", "batch_get_item", "query", "put_item", "update_item"),
    *("transact_write_items", "delete_item", "batch_write_item"),
)
_SOURCES = list(dict.fromkeys(price.read_in for price in PRICES.values()))
_MINUTES_A_MONTH = 60 * 24 * 30


def cost(journey: Journey) -> float:
    """Give what a journey costs, in dollars, but for the time of handlers."""
    used = dict(journey.used)
    used["GB-second"] = used.get("invocation", 0) * FUNCTION_GB * FUNCTION_S
    return sum(PRICES[name].dollars * amount for name, amount in used.items())


def named(journeys: Sequence[Journey], name: str) -> Journey:
    """Give the journey of a name."""
    return next(journey for journey in journeys if journey.name == name)


def written(journeys: Sequence[Journey]) -> str:
    """Give the page."""
    return TEMPLATE.read_text("utf-8").format(
        calls="\n".join(map(_calls, journeys)),
        priced="\n".join(map(_priced, journeys)),
        prices="\n".join(
            f"| {name} | {price.dollars * 1e6:g} | {_SOURCES.index(price.read_in) + 1} |"
            for name, price in PRICES.items()
        ),
        sources="\n".join(f"{number}. {source}" for number, source in enumerate(_SOURCES, 1)),
        message_bound=_millions(MESSAGE_BOUND),
        message_aim=_millions(MESSAGE_AIM),
        over="; ".join(one.name for one in journeys if _per_message(one) > MESSAGE_AIM),
        pings=PINGS,
        hour_bound=_millions(HOUR_BOUND),
        hour_aim=_millions(HOUR_AIM),
        sweep=_monthly(cost(named(journeys, SWEEP))),
        reads=_monthly(IDLE_READS_A_MINUTE * PRICES["queue call"].dollars),
        watched=watched_metrics(),
        function_ms=round(FUNCTION_S * 1000),
        function_mb=round(FUNCTION_GB * 1024),
    )


def watched_metrics() -> int:
    """Give how many metrics the template's alarms watch: one with an expression, all in it."""
    resources = template()["Resources"].values()
    alarms = [one["Properties"] for one in resources if one["Type"] == "AWS::CloudWatch::Alarm"]
    return sum(sum("MetricStat" in m for m in one.get("Metrics", ())) or 1 for one in alarms)


def walked(address: str) -> list[Journey]:
    """Walk the journeys on an emulator."""
    walker = Walker(address)
    try:
        return walker.walk()
    finally:
        walker.close()


def _per_message(journey: Journey) -> float:
    return cost(journey) / journey.messages if journey.messages else 0


def _calls(journey: Journey) -> str:
    which = [f"{journey.calls[one]} {one}" for one in _OPERATIONS if journey.calls[one]]
    units = (journey.used[name] for name in ("read unit", "write unit"))
    cells = [
        *(journey.name, sum(journey.calls.values()), ", ".join(which)),
        *(f"{amount:g}" for amount in units),
        *(journey.posts, journey.messages, journey.used["invocation"]),
    ]
    return f"| {' | '.join(map(str, cells))} |"


def _priced(journey: Journey) -> str:
    each = f"${_per_message(journey) * 1e6:.2f}" if journey.messages else ""
    return f"| {journey.name} | ${cost(journey) * 1e6:.2f} | {each} |"


def _monthly(dollars_a_minute: float) -> str:
    return f"${dollars_a_minute * _MINUTES_A_MONTH:.2f}"


def _millions(dollars: float) -> str:
    return f"${dollars * 1e6:g}"


if __name__ == "__main__":
    os.environ.update(CREDENTIALS)
    with tempfile.TemporaryDirectory() as folder, ministack(Path(folder)) as url:
        PAGE.write_text(written(walked(url)), "utf-8")
