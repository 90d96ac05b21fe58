"""`streamer plugins`."""

from typing import Any

import click

from streamer_core.cli import doctor, loading, options, output
from streamer_core.cli.loading import Tried
from streamer_core.cli.problem import note
from streamer_core.cli.project import Project, pass_project
from streamer_core.errors import ConfigurationError

_COLUMNS = ("order", "name", "status", "version", "distribution", "hooks")
_PREFIX = "streamer_"


@click.group(name="plugins", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show the installed plugins, and find out what is wrong with them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


command.add_command(doctor.command)


@command.command("list")
@options.as_json
@pass_project
def list_(project: Project, as_json: bool) -> None:
    """List the installed plugins, in the order they are asked.

    `off`: the settings name the plugins to load, and not this one. `broken`: nothing starts until
    it is mended, uninstalled or left out.
    """
    tried = loading.project_plugins(project)
    order = _order(project, tried)
    rows = sorted((_described(one, order) for one in tried), key=_place)
    if as_json:
        output.json_lines(rows)
    elif rows:
        output.table(_COLUMNS, [_row(one) for one in rows])
    else:
        note('no plugins are installed; try: pip install "streamer-core[dev]"')
    if any(one.problem for one in tried):
        note("`streamer plugins doctor` says what is wrong")


def _order(project: Project, tried: list[Tried]) -> list[str]:
    try:
        return loading.made(loading.working(tried), project.settings, project.unstarted)[1]
    except ConfigurationError:
        return []


def _described(tried: Tried, order: list[str]) -> dict[str, Any]:
    name = tried.found.name
    return {
        "order": order.index(name) + 1 if tried.status == "on" and name in order else None,
        "name": name,
        "status": tried.status,
        "version": tried.found.version,
        "distribution": tried.found.distribution,
        "hooks": list(tried.hooks),
        "problem": tried.problem or None,
    }


def _place(described: dict[str, Any]) -> tuple[bool, int, str]:
    order = described["order"]
    return (order is None, order or 0, described["name"])


def _row(described: dict[str, Any]) -> tuple[str, ...]:
    hooks = " ".join(hook.removeprefix(_PREFIX) for hook in described["hooks"])
    cells = {**described, "order": str(described["order"] or "-"), "hooks": hooks}
    return tuple(cells[column] for column in _COLUMNS)
