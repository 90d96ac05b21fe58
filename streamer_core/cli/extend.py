"""The commands that plugins add by `streamer_register_commands`."""

import click

from streamer_core.cli import loading
from streamer_core.cli.problem import Problem
from streamer_core.cli.project import Project
from streamer_core.errors import ConfigurationError

BROUGHT_BY = {
    "circuits": "streamer-plugin-circuitbreaker",
    "cloudwatch": "streamer-plugin-cloudwatch",
    "dev": "streamer-plugin-local",
    "dlq": "streamer-plugin-dlq",
    "jwt": "streamer-plugin-jwt",
    "ratelimit": "streamer-plugin-ratelimit",
    "tables": "streamer-plugin-dynamodb",
    "tenants": "streamer-plugin-tenancy",
    "token": "streamer-plugin-jwt",
}
"""Commands of the plugins of this repository, for whoever calls one that is not there."""
_HOOK = "streamer_register_commands"


def add_commands(group: click.Group, project: Project) -> list[str]:
    """Have every working plugin add its commands; give what was wrong, a sentence each."""
    try:
        tried = loading.project_plugins(project)
        settings, app = project.settings, project.unstarted
        manager, _ = loading.made(loading.working(tried), settings, app)
    except ConfigurationError as error:
        return [str(error)]
    problems = [one.problem for one in tried if one.problem]
    for implementation in getattr(manager.hook, _HOOK).get_hookimpls():
        try:
            implementation.function(group)
        except Exception as error:  # noqa: BLE001 - one plugin's command hides no other's
            problems.append(f"plugin {implementation.plugin_name!r}: {error}")
    return problems


def missing(command: str) -> Problem:
    """Say how to get a command that a plugin brings."""
    distribution = BROUGHT_BY[command]
    there = [one for one in loading.installed() if one.distribution == distribution]
    if there:
        return Problem(
            f"`streamer {command}` is brought by {distribution}, which the settings leave out",
            hint=f'add "{there[0].name}" to [streamer] plugins',
        )
    return Problem(
        f"`streamer {command}` is brought by {distribution}, which is not installed",
        hint=f"pip install {distribution}",
    )
