"""Tables of committed figures in Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks.report import number

Result = Mapping[str, Any]
"""What `Report.write` wrote."""

VERDICTS = {"": "", "aim": "aim reached", "bound": "within the bound", "MISSED": "**missed**"}
COLUMNS = ("figure", "value", "bound", "aim", "verdict")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = True) -> str:
    """Write a table; all columns but the first stand right where they hold numbers."""
    lines = [_row(head), _row(["---", *["--:" if numbers else "---"] * (len(head) - 1)])]
    return "\n".join([*lines, *map(_row, rows)])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def measured(result: Result) -> str:
    """Say when, on what, at which commit and by which command it was measured."""
    when = datetime.fromisoformat(result["date"]).astimezone(UTC)
    commit, _, changes = result["commit"].partition("+")
    return (
        f"Measured {when:%Y-%m-%d %H:%M} UTC on {result['cores']} cores of {result['cpu']}, Linux "
        f"{result['kernel']}, Python {result['python']}, load average before it "
        f"{result['load_before']:.2f}, commit `{commit[:12]}`{' with changes' * bool(changes)}:\n\n"
        f"```console\n$ {result['command']}\n```"
    )


def block(result: Result) -> str:
    """Write all of a benchmark's figures."""
    rows = [_cells(figure, figure["name"]) for figure in result["figures"]]
    # Where a benchmark can fail as a whole, it says so apart from its notes.
    notes = [*(f"**Failed**: {one}" for one in result.get("failures", [])), *result["notes"]]
    return "\n\n".join([measured(result), table(COLUMNS, rows), *listed(notes)])


def listed(sentences: Sequence[str]) -> list[str]:
    """Write a list, where there is something to list."""
    return ["\n".join(f"- {sentence}" for sentence in sentences)] if sentences else []


def bounds(results: Mapping[str, Result]) -> str:
    """Gather the figures that have a bound, and count how they stand to it.

    A part of another figure (its name is indented) is counted, and shown where it misses.
    """
    bound = [
        (name, figure)
        for name, result in results.items()
        for figure in result["figures"]
        if figure["bound"] is not None
    ]
    if not bound:
        return "*Nothing has been measured yet.*"
    missed = sum(figure["verdict"] == "MISSED" for _, figure in bound)
    aimed = [figure for _, figure in bound if figure["aim"] is not None]
    reached = sum(figure["verdict"] == "aim" for figure in aimed)
    held = f"{missed} of {len(bound)} bounds are **missed**" if missed else "All bounds hold"
    rows = [
        _cells(figure, f"{name}: {figure['name'].strip()}")
        for name, figure in bound
        if figure["verdict"] == "MISSED" or not figure["name"].startswith(" ")
    ]
    counted = f"{held}; {reached} of {len(aimed)} aims are reached."
    return f"{counted}\n\n{table(COLUMNS, rows)}"


def _cells(figure: Mapping[str, Any], name: str) -> list[str]:
    sign = "≥" if figure["more_is_better"] else "≤"
    return [
        "&emsp;" * (name != name.lstrip()) + name.strip(),
        value(figure),
        *(f"{sign} {number(limit)}" if limit is not None else "" for limit in limits(figure)),
        VERDICTS[figure["verdict"]],
    ]


def limits(figure: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Give bound and aim."""
    return figure["bound"], figure["aim"]


def value(figure: Mapping[str, Any]) -> str:
    """Write a value with its unit."""
    return " ".join([number(figure["value"]), *figure["unit"].split()])
