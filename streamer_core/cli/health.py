"""`streamer health`."""

from collections.abc import Mapping
from typing import Any

import click

from streamer_core.cli import gateway as gateway_options
from streamer_core.cli import options, output
from streamer_core.cli.gateway import Gateway
from streamer_core.cli.problem import Code
from streamer_core.cli.project import Project, pass_project
from streamer_core.cli.text import clean, json_line
from streamer_core.model.health import report

_COLUMNS = ("check", "status", "latency", "detail")


@click.command(name="health")
@options.as_json
@gateway_options.optional
@pass_project
def command(project: Project, as_json: bool, gateway: Gateway | None) -> None:
    """Tell how the store and every plugin are: ok, degraded or dead.

    They are asked from this process, which starts no plugin; with --url a running gateway is asked,
    which tells more than the status of all only where the token has the scope streamer:operator.

    Exits 0 where all is ok or degraded, 1 where something is dead.
    """
    if gateway is not None:
        found = gateway.run(lambda client: client.call("streamer.health"))
        _show(found, as_json=as_json)
    else:
        with project.open() as app:
            found = report(app.health(), details=True)
            _show(found, as_json=as_json)  # before it closes: what hangs may hang there too
    if found["status"] == "dead":
        click.get_current_context().exit(Code.FAILED)


def _show(found: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json_line(found))
        return
    click.echo(clean(str(found["status"])))
    if checks := found.get("checks"):
        output.table(_COLUMNS, [_row(check) for check in checks])


def _row(check: Mapping[str, Any]) -> tuple[str, ...]:
    latency = f"{check['latency_ms']:.1f} ms"
    return str(check["name"]), str(check["status"]), latency, str(check["detail"])
