"""The peers' figures side by side, in Markdown: a column each, ratios, and what each keeps."""

from collections.abc import Mapping
from typing import Any

from benchmarks.report import number
from benchmarks.tables import Result, listed, measured, table, value

AWAY = "results told to a client that was away"
Figures = Mapping[str, Mapping[str, Any]]
"""By name."""


def block(result: Result) -> str:
    """Write them all."""
    figures: Figures = {figure["name"]: figure for figure in result["figures"]}
    wins = [note for note in result["notes"] if " wins in " in note]
    parts = [measured(result), "**What was found**"]
    parts += [_found(figures, result["raw"][name]) for name in ("requests", "routing")]
    parts += ["**Whether it can be believed**", _checks(figures, result["raw"])]
    parts += ["**How many times as good Streamer is** (under 1: the peer is better)"]
    parts += [_ratios(figures, result["raw"][name]) for name in ("requests", "routing")]
    parts += ["**What each keeps**", _durability(figures, result["raw"]["durability"])]
    parts += ["**Where a peer wins**", *(listed(wins) or ["- nowhere in this run"])]
    parts += listed([note for note in result["notes"] if note not in wins])
    return "\n\n".join(parts)


def _found(figures: Figures, compared: Mapping[str, list[str]]) -> str:
    return _side_by_side(figures, compared["places"], compared["measures"])


def _checks(figures: Figures, raw: Mapping[str, Any]) -> str:
    """Show what is no comparison: what never ended, how busy the load generator was."""
    places = raw["requests"]["places"]
    compared = {AWAY, *raw["requests"]["measures"]}
    said = [name.partition(f"{places[0]}: ")[2] for name in figures]
    checks = [name for name in said if name and name not in compared]
    return _side_by_side(figures, places, checks)


def _side_by_side(figures: Figures, places: list[str], measures: list[str]) -> str:
    rows = [
        [measure, *(value(figures[f"{place}: {measure}"]) for place in places)]
        for measure in measures
    ]
    return table(["", *map(_head, places)], rows)


def _ratios(figures: Figures, compared: Mapping[str, list[str]]) -> str:
    _, *peers = compared["places"]
    rows = [
        [measure, *(_times(figures[f"against {peer}: {measure}"]["value"]) for peer in peers)]
        for measure in compared["measures"]
    ]
    return table(["", *map(_head, peers)], rows)


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else number(ratio)


def _durability(figures: Figures, kept: Mapping[str, Mapping[str, str]]) -> str:
    head = ["", "acknowledged is", "a worker is killed", "a client was away", "told, measured"]
    rows = [
        [place, one["acknowledged"], one["killed"], one["away"], value(figures[f"{place}: {AWAY}"])]
        for place, one in kept.items()
    ]
    return table(head, rows, numbers=False)


def _head(place: str) -> str:
    return place.replace(" (", "<br>(")
