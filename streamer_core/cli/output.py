"""Answers on standard output: rich on a terminal, plain in a pipe, JSON for scripts."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from streamer_core.cli.text import clean, json_line

Row = Sequence[str]
_GAP = "  "


def is_terminal() -> bool:
    """Tell whether a person is looking."""
    return sys.stdout.isatty()


def json_lines(items: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object a line."""
    for item in items:
        click.echo(json_line(item))


def table(columns: Row, rows: Sequence[Row]) -> None:
    """Print a table; columns that are empty in every row are left out on a terminal."""
    cleaned = [[clean(cell) for cell in row] for row in rows]
    if is_terminal():
        _rich_table(columns, cleaned)
    else:
        _plain_table(columns, cleaned)


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one a line; those without a value are left out."""
    given = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in given), default=0)
    for name, value in given:
        label = f"{name:<{width}}"
        click.echo(f"{click.style(label, dim=True)}{_GAP}{clean(value)}")


def block(title: str, text: str) -> None:
    """Print a title and, indented below it, text of several lines that is clean already."""
    click.echo(click.style(title, bold=True))
    click.echo("\n".join(f"  {line}" for line in text.splitlines()))


def _plain_table(columns: Row, rows: Sequence[Row]) -> None:
    lines = [[column.upper() for column in columns], *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        click.echo(_GAP.join(cells).rstrip())


def _rich_table(columns: Row, rows: Sequence[Row]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def cell(text: str, i: int) -> Text:
        last = i == used[-1]
        return Text(text, _style(text), no_wrap=not last, overflow="fold" if last else "ellipsis")

    shown = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    used = [i for i in range(len(columns)) if not rows or any(row[i] for row in rows)]
    for i in used:
        # The first column is what other commands are given; it is the last to be cut.
        shown.add_column(columns[i], no_wrap=i == 0)
    for row in rows:
        shown.add_row(*(cell(row[i], i) for i in used))
    Console().print(shown)


_STYLES = {
    "green": {"completed", "OK", "on", "ok"},
    "red": {"failed", "FAIL", "broken", "dead"},
    "yellow": {"cancelled", "retrying", "off", "degraded"},
    "cyan": {"processing"},
}


def _style(cell: str) -> str:
    return next((style for style, words in _STYLES.items() if cell in words), "")
