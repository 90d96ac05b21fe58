"""`streamer init`."""

import shlex
from importlib.resources import files
from pathlib import Path

import click

from streamer_core.cli.problem import Problem

FILES = {
    "streamer.toml": "streamer.toml",
    "handlers.py": "handlers.py",
    "README.md": "README.md",
    "gitignore": ".gitignore",
}
"""What is written, by its name among the package's starter files."""


@click.command(name="init")
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=Path())
def command(folder: Path) -> None:
    """Begin a project in DIR, or here: settings, a module of handlers, a README.

    Nothing is overwritten: where one of the files is there already, none is written.
    """
    if there := [name for name in FILES.values() if (folder / name).exists()]:
        raise Problem(
            f"{folder / there[0]} is there already; nothing was written",
            hint="choose another folder: streamer init my-project",
        )
    _write(folder)
    for name in FILES.values():
        click.echo(f"wrote {folder / name}")
    enter = "" if folder == Path() else f"    cd {shlex.quote(str(folder))}\n"
    click.echo(
        f"\nNext:\n{enter}    streamer dev\n"
        f"and in another terminal, in the same folder:\n"
        f'    streamer send hello \'{{"name": "you"}}\'\n'
        f"    streamer send count '{{\"to\": 20}}'"
    )


def _write(folder: Path) -> None:
    starter = files("streamer_core.cli") / "starter"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source, name in FILES.items():
            (folder / name).write_bytes((starter / source).read_bytes())
    except OSError as error:
        raise Problem(f"{error.filename}: {error.strerror}") from None
