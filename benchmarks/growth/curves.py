"""How time and memory grow with load: a plot each, and a verdict on each cost.

What one operation costs may follow the logarithm of the size; what all together cost, a straight
line. `verdict.py` says how that is judged.
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from benchmarks.growth import CURVES
from benchmarks.growth.series import Curve, Series
from benchmarks.growth.verdict import STEP, TREND
from benchmarks.options import Options
from benchmarks.report import Report


def run(report: Report, options: Options) -> None:
    """Measure, judge and draw, curve by curve."""
    if find_spec("matplotlib") is None:
        raise SystemExit("growth draws with matplotlib: `make growth` installs it")
    from benchmarks.growth.draw import draw  # noqa: PLC0415 - not everybody has matplotlib

    faster = 0
    for name in options.curves or CURVES:
        curve: Curve = import_module(f"benchmarks.growth.{name}").measure(report, options)
        report.keep(name, {series.name: _plain(series) for series in curve.series})
        for series in curve.series:
            _add(report, curve, series)
            faster += not series.verdict.holds
        print(f"  drawn: {draw(curve, options.plots)}", flush=True)
    report.add("costs that grow faster than they may", faster, bound=0)
    report.note(
        f"trend: exponent of what is fitted to cost / what it may follow, at most {TREND}; "
        f"last step: what the last size adds to that quotient, at most {STEP} times"
    )


def _add(report: Report, curve: Curve, series: Series) -> None:
    verdict = series.verdict
    for size, cost in (series.points[0], series.points[-1]):
        report.add(f"{curve.name} {size:,}: {series.name}", cost, series.unit)
    if verdict.trend is None:
        report.note(
            f"{curve.name}: {series.name}: at too few sizes over {series.floor:g} {series.unit}, "
            f"which is noise: no trend"
        )
    else:
        report.add(f"  trend against {series.may}", verdict.trend, bound=TREND)
    report.add(f"  last step against {series.may}", verdict.step, "times", bound=STEP)


def _plain(series: Series) -> Mapping[str, Any]:
    verdict = series.verdict
    return {
        "unit": series.unit,
        "may_follow": series.may.value,
        "at_no_load": series.base,
        "noise": series.floor,
        "points": series.points,
        "trend": verdict.trend,
        "last_step": verdict.step,
        "holds": verdict.holds,
    }
