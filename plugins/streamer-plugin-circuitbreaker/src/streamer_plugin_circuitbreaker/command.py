"""`streamer circuits`: circuits, seen and switched by a person."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from streamer_core import Settings, Streamer
from streamer_core.cli import options, output
from streamer_core.cli.text import clean
from streamer_core.ports.detached import Detached
from streamer_plugin_circuitbreaker.circuits import ACTION, COLUMNS, Circuits, checked
from streamer_plugin_circuitbreaker.settings import Book
from streamer_plugin_circuitbreaker.state import State

T = TypeVar("T")


def circuits(book: Book, settings: Settings) -> click.Group:
    """Make the command for a project's rules and settings."""
    return click.Group(
        name="circuits",
        help=f"See, open and close circuits. That of an action is named {ACTION}NAME.",
        commands=[list_, open_, close, reset],
        context_settings={"obj": (book, settings)},
    )


def _name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    try:
        return name if name.startswith(ACTION) else checked(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_named = click.argument("name", callback=_name)


@click.command("list")
@options.as_json
@click.pass_obj
def list_(obj: tuple[Book, Settings], *, as_json: bool) -> None:
    """List all circuits that were used of late, or were opened by hand."""
    if as_json:
        output.json_lines(_with_store(obj, Circuits.facts))
    else:
        rows = _with_store(obj, Circuits.rows)
        output.table(COLUMNS, [[row[column] for column in COLUMNS] for row in rows])


@click.command("open")
@_named
@click.pass_obj
def open_(obj: tuple[Book, Settings], name: str) -> None:
    """Open a circuit; it stays open until it is closed by hand."""
    _check_guards(obj[0], name)
    _switch(obj, name, lambda state, now: state.opened_by_hand(now), among_known=False)


@click.command()
@_named
@click.pass_obj
def close(obj: tuple[Book, Settings], name: str) -> None:
    """Close a circuit, whoever opened it, and count anew."""
    _switch(obj, name, lambda state, now: state.closed(now), among_known=True)


@click.command()
@_named
@click.pass_obj
def reset(obj: tuple[Book, Settings], name: str) -> None:
    """Forget what was counted of a circuit; closes it, but for one that was opened by hand."""

    def forget(state: State, now: int) -> State:
        return state if state.is_by_hand else state.closed(now)

    _switch(obj, name, forget, among_known=True)


def _switch(
    obj: tuple[Book, Settings],
    name: str,
    move: Callable[[State, int], State],
    *,
    among_known: bool,
) -> None:
    def switch(those: Circuits) -> tuple[State, State]:
        if among_known:
            _check_known(name, [row["circuit"] for row in those.rows()])
        return those.switch(name, move)

    before, after = _with_store(obj, switch)
    by_hand = " by hand, until it is closed" if after.is_by_hand else ""
    click.echo(clean(f"{name}: {after.phase.value}{by_hand}; it was {before.phase.value}"))


def _check_guards(book: Book, name: str) -> None:
    """Refuse what guards nothing: whoever opens it believes that calls have stopped."""
    if "*" in name:
        raise click.BadParameter("a pattern is no circuit: open one after the other")
    action = name.removeprefix(ACTION)
    if action != name and book.of_action(action) is None:
        raise click.BadParameter(
            f"no table of [plugins.circuitbreaker.actions] fits {action!r}: it has no circuit"
        )


def _check_known(name: str, known: Sequence[str]) -> None:
    if name not in known:
        there_are = f"there are: {', '.join(known)}" if known else "there is none"
        raise click.BadParameter(clean(f"no circuit is named {name!r}; {there_are}"))


def _with_store(obj: tuple[Book, Settings], do: Callable[[Circuits], T]) -> T:
    """Open the store beside whoever serves it, and look at the circuits in it."""
    book, settings = obj
    with Streamer(settings, transport=Detached(), load_handlers=False) as app:
        return do(Circuits(book, app))
