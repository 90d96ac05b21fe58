"""`streamer connections`."""

import click

from streamer_core.cli import options, output
from streamer_core.cli.problem import Problem, note
from streamer_core.cli.project import Project, pass_project
from streamer_core.cli.text import when
from streamer_core.model.codec import connection_to_plain
from streamer_core.model.connection import Connection

_COLUMNS = ("id", "tenant", "user", "address", "connected", "until")


@click.command(name="connections")
@options.tenant
@options.user
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@options.as_json
@pass_project
def command(
    project: Project, tenant: str | None, user: str | None, limit: int, as_json: bool
) -> None:
    """List open connections, oldest first."""
    if user is not None and tenant is None:
        raise Problem("--user needs --tenant: users of two tenants may share a name")
    with project.open() as app:
        found = app.store.connections(tenant=tenant, user=user, limit=limit)
    if as_json:
        output.json_lines(connection_to_plain(one) for one in found)
    elif found:
        output.table(_COLUMNS, [_row(one) for one in found])
    else:
        note("no connections")


def _row(connection: Connection) -> tuple[str, ...]:
    return (
        connection.id,
        connection.principal.tenant,
        connection.principal.user,
        connection.address or "",
        when(connection.connected_at),
        when(connection.expires_at),
    )
