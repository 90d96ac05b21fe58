"""`streamer dev`."""

import asyncio
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamer_core import log
from streamer_core.errors import ConfigurationError
from streamer_core.settings import Settings, validate_section
from streamer_plugin_local.garbage import settle_down
from streamer_plugin_local.settings import LocalSettings

if TYPE_CHECKING:
    from streamer_plugin_local.gateway import Ready

_EXIT_CONFIGURATION = 2


@click.command()
@click.option("--host", help="Address to listen on; 127.0.0.1 unless set.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.")
@click.option("--reload/--no-reload", default=None, help="Start new workers when code changes.")
@click.option(
    "--lambda/--no-lambda",
    "as_lambda",
    default=None,
    help="Raise API Gateway's events on the Lambda entries.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="streamer.toml, or the folder it is in; found here or in a parent folder unless set.",
)
@click.option("--ready-fd", type=int, hidden=True, help="Where to write the ready line, as JSON.")
def dev(config: Path | None, ready_fd: int | None, **given: Any) -> None:
    """Serve the project's handlers on this machine."""
    overrides = {name: value for name, value in given.items() if value is not None}
    try:
        serve(str(config) if config else None, overrides, ready_fd)
    except ConfigurationError as error:
        click.echo(f"streamer: {error}", err=True)
        sys.exit(_EXIT_CONFIGURATION)


def serve(config: str | None, overrides: dict[str, Any], ready_fd: int | None = None) -> None:
    """Serve until told to stop.

    Raises:
        ConfigurationError: a setting, a plugin or a handler module is wrong.
    """
    from streamer_plugin_local.gateway import (  # noqa: PLC0415 - aiohttp, for this command only
        Gateway,
        write_ready,
    )

    settings, local = _settings(config, overrides)
    log.configure(json_lines=not sys.stderr.isatty())

    def ready(what: "Ready") -> None:
        settle_down()
        announce(what)
        if ready_fd is not None:
            write_ready(what, ready_fd)

    async def run() -> None:
        await Gateway(settings, local, overrides=overrides, config=config).run(ready)

    asyncio.run(run())


def _settings(config: str | None, overrides: dict[str, Any]) -> tuple[Settings, LocalSettings]:
    settings = Settings.load(config)
    section = {**settings.plugins.get("local", {}), **overrides}
    where = f"{settings.source or 'settings'}: [plugins.local]"
    local: LocalSettings = validate_section(LocalSettings, section, where)
    return dataclasses.replace(settings, plugins={**settings.plugins, "local": section}), local


def announce(ready: "Ready") -> None:
    """Print where it is, and who everybody is."""
    click.echo(f"  clients   {ready.url}")
    click.echo(f"  console   {ready.console}")
    click.echo(f"  secret    {ready.secret}   (access key id of the management API)")
    if ready.development:
        click.echo(
            "  No authenticator plugin is installed: everybody who connects from this machine is "
            "the development principal."
        )
