"""`streamer dlq`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from streamer_core.cli import options
from streamer_core.cli.problem import Code, Problem, complain, note
from streamer_core.cli.project import Project
from streamer_core.errors import Conflict, NotFound
from streamer_core.records import record
from streamer_plugin_dlq import choosing, handling, shown
from streamer_plugin_dlq.collecting import Collector
from streamer_plugin_dlq.entry import REQUEST, Entry
from streamer_plugin_dlq.letters import CURSOR, Letters
from streamer_plugin_dlq.settings import DlqSettings

_USUAL_RATE, _LEAST_RATE = 10.0, 0.001


@record
class Desk:
    """What the commands work with."""

    project: Project
    settings: DlqSettings

    @contextmanager
    def open(self) -> Iterator[tuple[Any, Letters]]:
        """Open the store, beside whoever serves it."""
        with self.project.open() as app:
            yield app, Letters(app.store, app.clock, self.settings.keep)


pass_desk = click.make_pass_decorator(Desk)


def dlq(settings: DlqSettings) -> click.Group:
    """Make the command for these settings."""

    @click.group(name="dlq", commands=[list_, show, redrive, replay, discard, collect])
    @click.pass_context
    def group(context: click.Context) -> None:
        """List, show, redrive and discard dead letters: what failed for good.

        All work on the store that the settings name, and need no running gateway.
        """
        context.obj = Desk(project=context.ensure_object(Project), settings=settings)

    return group


@click.command("list")
@choosing.filtered
@click.option("--handled", is_flag=True, help="Also what was redriven or replayed.")
@click.option("--grouped", is_flag=True, help="How many of each cause, of all there are.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--cursor", help="Go on where an earlier list ended.")
@options.as_json
@pass_desk
def list_(
    desk: Desk, /, *, grouped: bool, limit: int, cursor: str | None, as_json: bool, **given: Any
) -> None:
    """List dead letters, newest first."""
    if cursor is not None and not CURSOR.fullmatch(cursor):
        raise Problem("the cursor is not one of this list", hint="list again without --cursor")
    with desk.open() as (app, letters):
        wanted = choosing.wanted(app.clock.now(), **given)
        if grouped:
            shown.print_causes(letters.all(wanted), as_json=as_json)
            return
        found, rest = letters.page(wanted, limit=limit, cursor=cursor)
    shown.print_list(found, as_json=as_json)
    if rest:
        note(f"there are more: --cursor {rest}")


@click.command()
@click.argument("name", metavar="ID|REF")
@options.as_json
@pass_desk
def show(desk: Desk, name: str, as_json: bool) -> None:
    """Show all that is kept of a dead letter, the stacks of its failures included."""
    with desk.open() as (_, letters):
        kept = choosing.found(letters, name)
        details = letters.details(kept)
    if details is None:
        raise Problem(f"{name} was discarded just now", code=Code.FAILED)
    shown.print_letter(kept.entry, details, as_json=as_json)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0
    if not rate >= _LEAST_RATE:  # nor is "nan"
        raise click.BadParameter(f"write how many a second, {_LEAST_RATE:g} at least")
    return rate


@click.command()
@choosing.choosing
@click.option(
    "--rate",
    type=_rate,
    metavar="NUMBER",
    default=_USUAL_RATE,
    show_default=True,
    help="How many begin in a second: the later ones are due later.",
)
@click.option("--dry-run", is_flag=True, help="Only list what would be redriven.")
@options.as_json
@pass_desk
def redrive(desk: Desk, /, *, rate: float, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Start failed requests again, as new ones: those named, or those that the filters leave.

    Whoever follows the old one is told when the new one begins. Done twice, it is started once.
    """
    with desk.open() as (app, letters):
        chosen = choosing.chosen(letters, app.clock.now(), **given)
        if not given["names"]:
            chosen = [entry for entry in chosen if entry.source == REQUEST]
        if dry_run:
            shown.print_list(chosen, as_json=as_json)
            return

        pace = handling.Pace(rate)

        def act(entry: Entry) -> None:
            kept, delay_ms = choosing.found(letters, entry.id), pace.delay_ms(app.clock.now())
            new = handling.redrive(app, letters, kept, delay_ms=delay_ms)
            shown.print_redriven(entry, new, as_json=as_json)

        choosing.each(chosen, act)


@click.command()
@click.argument("name", metavar="ID")
@pass_desk
def replay(desk: Desk, name: str) -> None:
    """Wake the request that a parked record, or a message of a queue, names."""
    with desk.open() as (app, letters):
        kept = choosing.found(letters, name)
        try:
            request = handling.replay(app, letters, kept)
        except (Conflict, NotFound) as error:
            raise Problem(str(error), code=Code.FAILED) from None
    click.echo(f"request {request.ref} is {request.status.wire}; where it is due, it was woken")


@click.command()
@choosing.choosing
@click.option("--handled", is_flag=True, help="Also what was redriven or replayed.")
@click.option("--dry-run", is_flag=True, help="Only list what would be discarded.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_desk
def discard(desk: Desk, /, *, dry_run: bool, yes: bool, **given: Any) -> None:
    """Forget dead letters: those named, or those that the filters leave."""
    with desk.open() as (app, letters):
        chosen = choosing.chosen(letters, app.clock.now(), **given)
        if dry_run:
            shown.print_list(chosen, as_json=False)
            return
        if not given["names"] and not yes:
            click.confirm(f"Discard {len(chosen)} dead letters?", abort=True)

        def act(entry: Entry) -> None:
            letters.discard(entry.id)
            click.echo(f"{entry.id} is discarded")

        choosing.each(chosen, act)


@click.command()
@pass_desk
def collect(desk: Desk) -> None:
    """Move all that lies in the queues of [plugins.dlq] to the dead letters, at once.

    The sweeper does so each minute. A queue that cannot be emptied is told of, and passed over.
    """
    if not desk.settings.queues:
        raise Problem("[plugins.dlq] queues names none", hint='queues = ["shop-parking"]')
    from streamer_plugin_dlq.sqs import QueueError  # noqa: PLC0415 - and botocore

    failed = 0
    with desk.open() as (app, letters):
        collector = Collector(letters, desk.settings, app)
        for queue in desk.settings.queues:
            collected = 0
            try:
                for kept in collector.batches(queue):
                    collected += kept
            except QueueError as error:
                complain(str(error))
                failed += 1
            click.echo(f"{queue}: {collected} collected")
    if failed:
        of = len(desk.settings.queues)
        raise Problem(f"{failed} of {of} queues were not emptied", code=Code.FAILED)
