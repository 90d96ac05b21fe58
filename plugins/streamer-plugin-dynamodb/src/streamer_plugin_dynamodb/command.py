"""`streamer tables`."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from streamer_core.cli.problem import Problem
from streamer_core.cli.project import Project

if TYPE_CHECKING:
    from streamer_plugin_dynamodb import DynamoPlugin
    from streamer_plugin_dynamodb.database import Database

_DIFFERENT = 1

_key = click.option(
    "--key", help="A KMS key's ARN, or aws/dynamodb. Left out: a key that AWS owns, for nothing."
)

Open = Callable[[], "Database"]


def tables(settings: "DynamoPlugin.Settings") -> click.Group:
    """Make the command for these settings."""

    @click.group(help="Make, check and delete the tables of [plugins.dynamodb].")
    @click.option("--tenant", help="Those that the settings give this tenant of its own.")
    @click.pass_context
    def group(context: click.Context, tenant: str | None) -> None:
        project = context.find_object(Project) or Project()
        context.obj = lambda: _shared(settings) if tenant is None else _own(project, tenant)

    for command in (create, check, delete, template):
        group.add_command(command)
    group.name = "tables"
    return group


@click.command()
@_key
@click.pass_obj
def create(database: Open, *, key: str | None) -> None:
    """Make the tables that are not there."""
    from streamer_plugin_dynamodb import deployment  # noqa: PLC0415 - and all of boto3

    made = deployment.create(database(), key=key)
    for name in made:
        click.echo(f"{name}: made")
    if not made:
        click.echo("all tables are there")


@click.command()
@_key
@click.pass_context
def check(context: click.Context, *, key: str | None) -> None:
    """Say in what the tables differ from those that `create` makes; exit code 1 if they do."""
    from streamer_plugin_dynamodb import deployment  # noqa: PLC0415

    differences = deployment.check(context.obj(), key=key)
    for sentence in differences:
        click.echo(sentence)
    if differences:
        context.exit(_DIFFERENT)
    click.echo("all tables are as they should be")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete(open_database: Open, *, yes: bool) -> None:
    """Delete the tables, with all that is in them."""
    from streamer_plugin_dynamodb import deployment  # noqa: PLC0415

    database = open_database()
    if not yes:
        asked = f"Delete all tables that begin with {database.prefix!r}, and all that is in them?"
        click.confirm(asked, abort=True)
    for name in deployment.delete(database):
        click.echo(f"{name}: deleted")


@click.command()
def template() -> None:
    """Print the tables as resources of CloudFormation."""
    from streamer_plugin_dynamodb import deployment  # noqa: PLC0415

    click.echo(json.dumps(deployment.template(), indent=2))


def _shared(settings: "DynamoPlugin.Settings") -> "Database":
    from streamer_plugin_dynamodb.opening import open_database  # noqa: PLC0415

    return open_database(settings)


def _own(project: Project, tenant: str) -> "Database":
    """Open what the plugin that knows the tenants has opened for this one; nothing is called."""
    with project.open() as app:
        plugin: Any = app.hooks.get_plugin("dynamodb")
        found: Database | None = plugin.of_tenants.get(tenant)
    if found is None:
        raise Problem(
            f"tenant {tenant!r} has no tables of its own in the settings",
            hint=f'[plugins.tenancy.tables.{tenant}], with [streamer] store = "dynamodb"',
        )
    return found
