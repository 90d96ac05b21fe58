"""`streamer freeze`."""

from pathlib import Path

import click

from streamer_core.cli.problem import Problem, note
from streamer_core.cli.project import Project, pass_project

_FILE = "streamer.frozen.json"


@click.command(name="freeze")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"The file to write; left out: the one [streamer] frozen names, or {_FILE}, beside the "
    f"settings.",
)
@pass_project
def command(project: Project, output: Path | None) -> None:
    """Write down the plugins, their order and the handlers that a start finds.

    A start from the file looks nothing up, and refuses where what is installed or set has changed:
    for a bundle that never changes after it was built.
    """
    settings = project.thawed
    frozen = project.settings.core.frozen
    path = output or settings.root / (frozen or _FILE)
    with project.open_whole(settings) as app:
        try:
            app.freeze(path)
        except OSError as error:
            raise Problem(f"{path}: {error.strerror}", hint="--output names another file") from None
        click.echo(f"{path}: {len(app.plugins)} plugins, {len(app.registry)} actions")
    if frozen is None:
        note(f"start from it with STREAMER_FROZEN={path}")
