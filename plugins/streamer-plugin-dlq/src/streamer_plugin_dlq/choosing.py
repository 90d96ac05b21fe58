"""Which dead letters a command is about."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import click

from streamer_core.cli import options
from streamer_core.cli.problem import Code, Problem, complain
from streamer_core.errors import Conflict, NotFound
from streamer_plugin_dlq.entry import QUEUE, REQUEST, STREAM, Entry
from streamer_plugin_dlq.letters import Kept, Letters
from streamer_plugin_dlq.wanted import Wanted

_FILTERS = (
    click.option("--source", type=click.Choice([REQUEST, STREAM, QUEUE]), help="Where it is from."),
    options.tenant,
    options.user,
    click.option("--action", help="Of this action."),
    click.option("--code", help="With this error code."),
    click.option("--kind", help="With this class of error, or of this queue."),
    click.option("--since", type=options.duration, help="Failed in this last while: 30m, 7d."),
    click.option("--until", type=options.duration, help="Failed longer ago than this."),
)
_NAMES = (
    click.argument("names", nargs=-1, metavar="[ID|REF]..."),
    *_FILTERS,
    click.option("--all", "everything", is_flag=True, help="All there are."),
)


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `wanted` takes."""
    return reduce(lambda made, option: option(made), reversed(_FILTERS), command)


def choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Add the argument and options that `chosen` takes."""
    return reduce(lambda made, option: option(made), reversed(_NAMES), command)


def wanted(now: int, *, since: int | None, until: int | None, **given: Any) -> Wanted:
    """Make the filter of the options."""
    return Wanted(
        since=None if since is None else now - since,
        until=None if until is None else now - until,
        **given,
    )


def chosen(
    letters: Letters,
    now: int,
    *,
    names: Sequence[str],
    everything: bool,
    handled: bool = False,
    **given: Any,
) -> list[Entry]:
    """Give those that are named, or those that the filters leave.

    Raises:
        Problem: it is not said which, or one that is named is not there.
    """
    filters = [name for name, value in given.items() if value is not None]
    if sum(map(bool, (names, filters, everything))) != 1:
        raise Problem("name dead letters, or give filters, or --all: one of the three")
    if names:
        return [found(letters, name).entry for name in names]
    return list(letters.all(wanted(now, handled=handled, **given)))


def found(letters: Letters, name: str) -> Kept:
    """Give one by its id, or the newest of a request by its ref.

    Raises:
        Problem: there is none.
    """
    kept = letters.find(name)
    if kept is None:
        hint = "`streamer dlq list` lists them"
        raise Problem(f"there is no dead letter {name}", hint=hint, code=Code.FAILED)
    return kept


def each(entries: Sequence[Entry], act: Callable[[Entry], None]) -> None:
    """Deal with one after the other; one that cannot be dealt with is told of, and passed over.

    Raises:
        Problem: there was such a one.
    """
    failed = 0
    for entry in entries:
        try:
            act(entry)
        except (Conflict, NotFound, Problem) as error:
            complain(str(error))
            failed += 1
    if failed:
        raise Problem(f"{failed} of {len(entries)} are as they were", code=Code.FAILED)
