"""`streamer plugins`."""

from dataclasses import asdict
from typing import Any

import click

from streamer_core.cli import doctor, loading, options, output
from streamer_core.cli.loading import Tried
from streamer_core.cli.problem import note
from streamer_core.cli.project import Project, pass_project
from streamer_core.cli.timings import Took, measure
from streamer_core.errors import ConfigurationError

_TIMED = ("name", "alone = import + make", "in order = import + make")
_COLUMNS = ("order", "name", "status", "version", "distribution", "hooks")
_PREFIX = "streamer_"


@click.group(name="plugins", invoke_without_command=True)
@click.option("--timings", is_flag=True, help="Show what each adds to a start.")
@options.as_json
@pass_project
@click.pass_context
def command(ctx: click.Context, project: Project, timings: bool, as_json: bool) -> None:
    """Show the installed plugins, and find out what is wrong with them.

    With --timings: the milliseconds that a start takes to import and to make each plugin, the
    fastest of three fresh processes. ALONE: after the core (and what the plugin requires) alone.
    IN ORDER: after all that are loaded before it, as in a real start; what these have imported
    costs it nothing, and the sum of this column is what all plugins add.
    """
    if ctx.invoked_subcommand is None:
        _timings(project, as_json=as_json) if timings else ctx.invoke(list_, as_json=as_json)
    elif timings or as_json:
        below = ctx.invoked_subcommand
        raise click.UsageError(f"`{below}` takes no --timings, and its --json stands after it")


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
    _note_broken(tried)


def _timings(project: Project, *, as_json: bool) -> None:
    tried = loading.project_plugins(project)
    taken = measure(project, tried)
    total_ms = sum(one.in_order.all_ms for one in taken)
    if as_json:
        output.json_lines([*map(asdict, taken), {"total_ms": total_ms}])
    else:
        rows = [(one.name, *map(_ms, (one.alone, one.in_order))) for one in taken]
        output.table(_TIMED, [*rows, ("total", "", f"{total_ms:.1f}")])
    _note_broken(tried)


def _note_broken(tried: list[Tried]) -> None:
    if any(one.problem for one in tried):
        note("`streamer plugins doctor` says what is wrong")


def _ms(took: Took) -> str:
    return f"{took.all_ms:.1f} = {took.import_ms:.1f} + {took.make_ms:.1f}"


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
