"""Draws a curve as SVG: the same file for the same figures, to be read on light and on dark.

The only module that needs matplotlib (the dependency group `bench`).
"""

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.growth.series import Curve, Series
from benchmarks.growth.verdict import Reference

INK = "#6e7781"
"""Contrast of 4 and more, both to white and to GitHub's dark."""
COLOURS = ("#3987e5", "#d9730d", "#2f9e62", "#a25ddc")
MARKERS = ("o", "s", "^", "D")
PANEL_INCHES = (3.4, 3.2)

STYLE: Any = {  # a dict; matplotlib's own type of it lists every key
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "streamer",
    "font.size": 9,
    "font.sans-serif": ["DejaVu Sans"],  # and whatever else has none, where that is not there
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.title_fontsize": 9,
    "legend.borderpad": 0,
    "legend.labelspacing": 0.25,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
}


def draw(curve: Curve, folder: Path) -> Path:
    """Draw it in a file of its name; give the path.

    Each cost is a line; the dotted one beside it is what it may follow, at its mean height.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{curve.name}.svg"
    panels = list(dict.fromkeys(series.panel for series in curve.series))
    columns = 3 if len(panels) == 3 else 2  # more in a row could not be read on a page
    rows = -(-len(panels) // columns)
    width, height = PANEL_INCHES
    with rc_context(STYLE):
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flat
        for panel, ax in zip(panels, axes, strict=True):
            _panel(ax, panel, [series for series in curve.series if series.panel == panel])
            ax.set_xlabel(curve.along)
        figure.savefig(
            path,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Title": curve.title},
        )
    return path


def _panel(ax: Axes, title: str, those: list[Series]) -> None:
    ax.grid(visible=True)
    _scale(ax, those[0])
    for series, colour, marker in zip(those, COLOURS, MARKERS, strict=False):
        ax.plot(*_drawn(series), color=colour, marker=marker, label=_label(series))
        if series.verdict.trend is not None:
            ax.plot(*_allowed(series), color=colour, linestyle=":", linewidth=1)
    if ax.get_yscale() == "linear":
        ax.set_ylim(0, 1.05 * ax.dataLim.ymax)
    else:  # noise, drawn as large as the panel, would look like growth
        ax.set_ylim(top=max(ax.get_ylim()[1], 10 * max(series.floor for series in those)))
    ax.legend(title=title, alignment="left", loc="lower left", bbox_to_anchor=(-0.02, 1.0))


def _scale(ax: Axes, series: Series) -> None:
    """Give both axes logarithms where a straight line is allowed, else the size's alone."""
    if _from_nothing(series):
        return
    ax.set_xscale("log")
    if series.may is Reference.LINEAR:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=_ticks(series)))
        ax.yaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_locator(NullLocator())
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _ticks(series: Series) -> tuple[float, ...]:
    """Give the places of ticks in a decade: more where there are few decades."""
    costs = _drawn(series)[1]
    return (1.0,) if max(costs) > 100 * min(costs) else (1.0, 2.0, 5.0)


def _short(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if value >= 1e3 else f"{value:g}"


def _from_nothing(series: Series) -> bool:
    """Tell whether no load is one of its sizes, which no logarithm can show."""
    return series.points[0][0] == 0


def _drawn(series: Series) -> tuple[list[float], list[float]]:
    """Give what is drawn: as measured; on logarithms what is added, and no less than noise."""
    if _from_nothing(series):
        points = series.points
    else:
        points = [(size, max(cost, series.floor)) for size, cost in series.added]
    return [size for size, _ in points], [cost for _, cost in points]


def _allowed(series: Series) -> tuple[list[float], list[float]]:
    lifted = series.base if _from_nothing(series) else 0.0
    sizes = [size for size, _ in (series.points if lifted else series.added)]
    return sizes, [lifted + series.level * series.may.at(size) for size in sizes]


def _label(series: Series) -> str:
    verdict = series.verdict
    told = "too little to tell" if verdict.trend is None else f"trend {verdict.trend:+.2f}"
    return f"{series.name} ({told}{'' if verdict.holds else ', too fast'})"
