"""`streamer tenants`."""

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from streamer_core.cli import options, output
from streamer_core.cli.problem import Code, Problem, note
from streamer_core.cli.project import Project, pass_project
from streamer_core.cli.text import when
from streamer_core.engine.visible import whole
from streamer_core.errors import Conflict
from streamer_plugin_tenancy.admin import Admin
from streamer_plugin_tenancy.usage import HOUR_MS

_QUOTAS_METAVAR = "QUOTA=LIMIT…"
_ROW = ("hour", "action", "requests", "seconds", "messages", "bytes", "estimated_cost")
_ADDED = ("requests", "seconds", "messages", "bytes")


@click.group()
def tenants() -> None:
    """Make, limit, suspend and bill tenants.

    All of them open the store that the settings name, and need no running gateway.
    """


@contextmanager
def _admin(project: Project) -> Iterator[Admin]:
    with project.open() as app:
        plugin: Any = app.hooks.get_plugin("tenancy")
        try:
            yield plugin.admin
        except ValueError as error:
            raise Problem(str(error)) from None
        except Conflict as error:
            raise Problem(str(error), code=Code.FAILED) from None


@tenants.command()
@click.argument("tenant")
@click.argument("quotas", nargs=-1, type=options.pair, metavar=_QUOTAS_METAVAR)
@options.as_json
@pass_project
def create(
    project: Project, tenant: str, quotas: Sequence[tuple[str, str]], *, as_json: bool
) -> None:
    """Make a tenant, with quotas of its own: `connections=100 stored_bytes=none`."""
    with _admin(project) as admin:
        _print(admin.create(tenant, dict(quotas)), as_json=as_json)


@tenants.command()
@click.argument("tenant", required=False)
@options.as_json
@pass_project
def show(project: Project, tenant: str | None, *, as_json: bool) -> None:
    """Show a tenant and its quotas; without a name, all that have a record."""
    with _admin(project) as admin:
        if tenant is not None:
            _print(admin.show(tenant), as_json=as_json)
        elif as_json:
            output.json_lines(admin.all())
        elif found := admin.all():
            rows = [(one["tenant"], _state(one), when(one["created_at"])) for one in found]
            output.table(("tenant", "state", "created"), rows)
        else:
            note("no tenants: none was created, limited or suspended")


@tenants.command()
@click.argument("tenant")
@options.as_json
@pass_project
def suspend(project: Project, tenant: str, *, as_json: bool) -> None:
    """Let a tenant work no more: a worker closes its connections, what is queued waits."""
    with _admin(project) as admin:
        _print(admin.suspend(tenant), as_json=as_json)


@tenants.command()
@click.argument("tenant")
@options.as_json
@pass_project
def resume(project: Project, tenant: str, *, as_json: bool) -> None:
    """Let a tenant work again."""
    with _admin(project) as admin:
        _print(admin.resume(tenant), as_json=as_json)


@tenants.command()
@click.argument("tenant")
@click.argument("quotas", nargs=-1, required=True, type=options.pair, metavar=_QUOTAS_METAVAR)
@options.as_json
@pass_project
def quota(
    project: Project, tenant: str, quotas: Sequence[tuple[str, str]], *, as_json: bool
) -> None:
    """Change a tenant's quotas: a whole number, `none`, or `default` for that of the settings."""
    with _admin(project) as admin:
        _print(admin.quota(tenant, dict(quotas)), as_json=as_json)


_since = click.option(
    "--since",
    type=options.duration,
    default="1d",
    show_default=True,
    help="This last while, in whole hours.",
)


@tenants.command()
@click.argument("tenant")
@_since
@options.as_json
@pass_project
def usage(project: Project, tenant: str, since: int, *, as_json: bool) -> None:
    """Show what a tenant used, by action and hour."""
    with _admin(project) as admin:
        found = _used(admin, tenant, since)
    if as_json:
        output.json_lines(found)
    elif found:
        output.table(_ROW, [_row(one) for one in found])
    else:
        note("no usage")


@tenants.command()
@click.argument("tenant")
@click.option("--usage", "form", type=click.Choice(["csv", "json"]), help="Usage, in this form.")
@_since
@pass_project
def export(project: Project, tenant: str, form: str | None, since: int) -> None:
    """Print a tenant's stored requests, a JSON object a line; or its usage, with --usage."""
    with _admin(project) as admin:
        if form is None:
            output.json_lines(map(whole, admin.requests(tenant)))
            return
        found = _used(admin, tenant, since)
    if form == "json":
        output.json_lines(found)
    else:
        _print_csv(found)


def _used(admin: Admin, tenant: str, since: int) -> list[dict[str, Any]]:
    """Give what was used in the last while, from the beginning of its first hour on."""
    now = admin.clock.now()
    return admin.used(tenant, (now - since) // HOUR_MS * HOUR_MS, now)


def _print_csv(found: Sequence[dict[str, Any]]) -> None:
    writer = csv.writer(sys.stdout)
    if found:
        writer.writerow(found[0])
    writer.writerows((one | {"hour": _hour(one["hour"])}).values() for one in found)


def _hour(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%MZ}"


def _row(used: Mapping[str, Any]) -> tuple[str, ...]:
    added = {name: used[name] + used[f"{name}_at_once"] for name in _ADDED}
    cost = f"{used['estimated_cost']:.6g}"
    return (_hour(used["hour"]), used["action"], *(f"{one:g}" for one in added.values()), cost)


def _print(shown: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.json_lines([shown])
        return
    output.facts(
        [
            ("tenant", shown["tenant"]),
            ("state", _state(shown)),
            ("created", when(shown["created_at"])),
            ("suspended", when(shown["suspended_at"])),
        ]
    )
    rows = [
        (name, "none" if one["limit"] is None else f"{one['limit']:g}", f"{one['used']:g}")
        for name, one in shown["quotas"].items()
    ]
    output.table(("quota", "limit", "used"), rows)


def _state(shown: Mapping[str, Any]) -> str:
    return "active" if shown["suspended_at"] is None else "suspended"
