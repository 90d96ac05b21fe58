"""`streamer actions`."""

from collections.abc import Mapping
from typing import Any

import click

from streamer_core.app import Streamer
from streamer_core.cli import gateway as gateway_options
from streamer_core.cli import options, output
from streamer_core.cli.gateway import Gateway
from streamer_core.cli.problem import Code, Problem, note
from streamer_core.cli.project import Project, pass_project
from streamer_core.cli.text import pretty
from streamer_core.model.message import Message

_COLUMNS = ("action", "mode", "estimate", "description")
_UNITS = ((3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms"))

Action = Mapping[str, Any]


@click.command(name="actions")
@click.option("--local", is_flag=True, help="Read the project itself; no gateway is asked.")
@click.option("--schema", metavar="ACTION", help="Print the JSON Schema of this action's payload.")
@options.as_json
@gateway_options.options
@pass_project
def command(
    project: Project, local: bool, schema: str | None, as_json: bool, gateway: Gateway
) -> None:
    """List the actions you may call: how they are answered and about how long they take."""
    found = _of_project(project) if local else gateway.run(lambda client: client.actions(schema))
    if schema is not None:
        _print_schema(schema, found)
    elif as_json:
        output.json_lines(found)
    elif found:
        output.table(_COLUMNS, [_row(one) for one in found])
    else:
        note('no actions; handlers are named in the settings: [streamer] handlers = ["module"]')


def _of_project(project: Project) -> tuple[Action, ...]:
    with project.open_whole() as app:
        return tuple(_described(app, one) for one in app.registry)


def _described(app: Streamer, registered: Any) -> Action:
    spec = registered.spec
    probe = Message(id="-", action=spec.action)
    mode = app.hooks.hook.streamer_route(request=probe, handler=spec)
    return {
        "action": spec.action,
        "description": spec.description,
        "mode": str(mode),
        "estimated_ms": spec.estimated_ms,
        "timeout_ms": spec.policy.timeout_ms,
        "idempotent": spec.idempotent,
        "scopes": sorted(spec.scopes),
        "payload_schema": registered.schema,
    }


def _print_schema(action: str, found: tuple[Action, ...]) -> None:
    for one in found:
        if one["action"] == action:
            click.echo(pretty(one.get("payload_schema")))
            return
    names = ", ".join(str(one["action"]) for one in found)
    hint = f"there are: {names}" if names else "`streamer actions` lists those there are"
    raise Problem(f"there is no action {action!r}", hint=hint, code=Code.FAILED)


def _row(action: Action) -> tuple[str, ...]:
    return (
        str(action["action"]),
        str(action.get("mode", "")),
        _duration(int(action.get("estimated_ms") or 0)),
        str(action.get("description", "")),
    )


def _duration(ms: int) -> str:
    for size, unit in _UNITS:
        if ms >= size:
            return f"{ms / size:.3g}{unit}"
    return ""
