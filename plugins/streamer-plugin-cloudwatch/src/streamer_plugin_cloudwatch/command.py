"""`streamer cloudwatch`."""

import json

import click

from streamer_plugin_cloudwatch.settings import CloudWatchSettings


def cloudwatch(settings: CloudWatchSettings) -> click.Group:
    """Make the command for these settings."""
    return click.Group(
        name="cloudwatch",
        help="What belongs to the metrics of [plugins.cloudwatch].",
        commands=[template],
        context_settings={"obj": settings},
    )


@click.command()
@click.pass_obj
def template(settings: CloudWatchSettings) -> None:
    """Print a dashboard and alarms as a template of CloudFormation."""
    from streamer_plugin_cloudwatch import template as written  # noqa: PLC0415

    click.echo(json.dumps(written.template(settings.namespace), indent=2))
