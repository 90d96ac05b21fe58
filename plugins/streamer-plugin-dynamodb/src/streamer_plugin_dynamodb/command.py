"""`streamer tables`."""

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from streamer_plugin_dynamodb import DynamoPlugin

_DIFFERENT = 1

_key = click.option(
    "--key", help="A KMS key's ARN, or aws/dynamodb. Left out: a key that AWS owns, for nothing."
)


def tables(settings: "DynamoPlugin.Settings") -> click.Group:
    """Make the command for these settings."""
    return click.Group(
        name="tables",
        help="Make, check and delete the tables of [plugins.dynamodb].",
        commands=[create, check, delete, template],
        context_settings={"obj": settings},
    )


@click.command()
@_key
@click.pass_obj
def create(settings: "DynamoPlugin.Settings", *, key: str | None) -> None:
    """Make the tables that are not there."""
    from streamer_plugin_dynamodb import deployment  # noqa: PLC0415 - and all of boto3

    made = deployment.create(_database(settings), key=key)
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

    differences = deployment.check(_database(context.obj), key=key)
    for sentence in differences:
        click.echo(sentence)
    if differences:
        context.exit(_DIFFERENT)
    click.echo("all tables are as they should be")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete(settings: "DynamoPlugin.Settings", *, yes: bool) -> None:
    """Delete the tables, with all that is in them."""
    from streamer_plugin_dynamodb import deployment  # noqa: PLC0415

    if not yes:
        asked = f"Delete all tables that begin with {settings.prefix!r}, and all that is in them?"
        click.confirm(asked, abort=True)
    for name in deployment.delete(_database(settings)):
        click.echo(f"{name}: deleted")


@click.command()
def template() -> None:
    """Print the tables as resources of CloudFormation."""
    from streamer_plugin_dynamodb import deployment  # noqa: PLC0415

    click.echo(json.dumps(deployment.template(), indent=2))


def _database(settings: "DynamoPlugin.Settings") -> Any:
    from streamer_plugin_dynamodb.opening import open_database  # noqa: PLC0415

    return open_database(settings)
