"""`streamer requests`: what is stored, seen and steered by its operator."""

from collections.abc import Iterable, Iterator

import click

from streamer_core.app import Streamer
from streamer_core.cli import follow, options, output
from streamer_core.cli.problem import Code, Problem, note
from streamer_core.cli.project import Project, pass_project
from streamer_core.cli.record import COLUMNS, print_record, row
from streamer_core.engine.visible import anybodys, whole
from streamer_core.errors import Conflict, NotFound
from streamer_core.model.ids import ref_of
from streamer_core.model.request import Request, Status
from streamer_core.ports import Query

_PAGE = 100
_STATUSES = {status.wire: status for status in Status}
_NAMES = "give its ref, as `streamer requests list` shows it, or its id with --tenant and --user"


@click.group(name="requests")
def command() -> None:
    """List, show, cancel, redrive and follow requests.

    All but `follow` open the store that the settings name: they need no running gateway, and see
    the requests of every tenant.
    """


command.add_command(follow.command)


@command.command("list")
@click.option(
    "--status",
    "statuses",
    type=click.Choice(list(_STATUSES)),
    multiple=True,
    help="In this status; may be repeated. `failed` are the dead letters.",
)
@click.option("--action", help="Of this action.")
@options.tenant
@options.user
@click.option("--since", type=options.duration, help="Accepted in this last while: 30m, 1h, 7d.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--all", "everything", is_flag=True, help="All there are; no limit.")
@click.option("--cursor", help="Go on where an earlier list ended.")
@options.as_json
@pass_project
def list_(
    project: Project,
    *,
    statuses: tuple[str, ...],
    action: str | None,
    tenant: str | None,
    user: str | None,
    since: int | None,
    limit: int,
    everything: bool,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List requests, newest first."""
    with project.open() as app:
        query = Query(
            tenant=tenant,
            user=user,
            action=action,
            statuses=frozenset(_STATUSES[one] for one in statuses) or None,
            since=None if since is None else app.clock.now() - since,
        )
        if everything:
            found: Iterable[Request] = _pages(app, query, cursor)
            rest = None
        else:
            found, rest = _page(app, query, limit, cursor)
        _print_list(found, as_json=as_json)
    if rest:
        note(f"there are more: --all, or --cursor {rest}")


def _page(
    app: Streamer, query: Query, limit: int, cursor: str | None
) -> tuple[tuple[Request, ...], str | None]:
    try:
        page = app.store.query(query, limit=limit, cursor=cursor)
    except ValueError:
        raise Problem(
            "the cursor is not one of this list", hint="list again without --cursor"
        ) from None
    return page.items, page.cursor


def _pages(app: Streamer, query: Query, cursor: str | None) -> Iterator[Request]:
    more = True
    while more:
        items, cursor = _page(app, query, _PAGE, cursor)
        yield from items
        more = cursor is not None


def _print_list(found: Iterable[Request], *, as_json: bool) -> None:
    if as_json:
        output.json_lines(anybodys(one) for one in found)
    elif rows := [row(one) for one in found]:
        output.table(COLUMNS, rows)
    else:
        note("no requests")


@command.command()
@click.argument("name", metavar="REF|ID")
@options.tenant
@options.user
@options.as_json
@pass_project
def show(project: Project, name: str, tenant: str | None, user: str | None, as_json: bool) -> None:
    """Show everything about a request, the stacks of its failures included."""
    ref = _ref(name, tenant, user)
    with project.open() as app:
        request = app.store.get(ref)
    if request is None:
        raise _unknown(name)
    if as_json:
        output.json_lines([whole(request)])
    else:
        print_record(request)


@command.command()
@click.argument("name", metavar="REF|ID")
@options.tenant
@options.user
@options.as_json
@pass_project
def cancel(
    project: Project, name: str, tenant: str | None, user: str | None, as_json: bool
) -> None:
    """Cancel a request: one that waits ends now, one that runs is asked to stop.

    Exits 1 where it had ended otherwise before.
    """
    ref = _ref(name, tenant, user)
    with project.open() as app:
        request = app.cancel(ref)
    if request is None:
        raise _unknown(name)
    if request.status in {Status.COMPLETED, Status.FAILED}:
        raise Problem(f"request {ref} is {request.status.wire} already", code=Code.FAILED)
    stopping = "" if request.status.terminal else "; it is asked to stop"
    _print_changed(request, stopping, as_json=as_json)


@command.command()
@click.argument("ref", metavar="REF")
@options.as_json
@pass_project
def redrive(project: Project, ref: str, as_json: bool) -> None:
    """Start a failed request again, as a new one with attempts of its own.

    `streamer requests list --status failed` lists them. Redriven twice, it is still started once.
    """
    with project.open() as app:
        try:
            request = app.redrive(ref)
        except NotFound:
            raise _unknown(ref) from None
        except Conflict as error:
            raise Problem(str(error), code=Code.FAILED) from None
    _print_changed(request, f"; redriven from {ref}", as_json=as_json)


def _print_changed(request: Request, remark: str, *, as_json: bool) -> None:
    if as_json:
        output.json_lines([anybodys(request)])
    else:
        click.echo(f"request {request.ref} is {request.status.wire}{remark}")


def _ref(name: str, tenant: str | None, user: str | None) -> str:
    if tenant is None and user is None:
        return name
    if tenant is None or user is None:
        raise Problem("an id is addressed by --tenant and --user together", hint=_NAMES)
    return ref_of(tenant, user, name)


def _unknown(name: str) -> Problem:
    return Problem(f"there is no request {name}", hint=_NAMES, code=Code.FAILED)
