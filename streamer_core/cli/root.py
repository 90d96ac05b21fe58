"""The command itself: global options, sub-commands found when asked for, errors made readable."""

import difflib
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from streamer_core.cli import extend
from streamer_core.cli.problem import Code, Problem, complain, note
from streamer_core.cli.project import Project
from streamer_core.errors import ConfigurationError, StreamerError

BUILT_IN = ("actions", "connections", "freeze", "health", "init", "plugins", "requests", "send")


class Root(click.Group):
    """A group whose commands are files of this package, and those that plugins add.

    A plugin is imported only for the help page and for a command that is not built in.
    """

    extended = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all; a plugin that does not work is noted and left out."""
        for problem in self._extend(ctx):
            note(f"Left out: {problem}")
        return sorted({*BUILT_IN, *self.commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find one."""
        if cmd_name in BUILT_IN:
            module = import_module(f"streamer_core.cli.{cmd_name}")
            command: click.Command = module.command
            return command
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the one that is asked for, or say which could be meant."""
        name = args[0]
        if name not in BUILT_IN and not name.startswith("-"):
            problems = self._extend(ctx)
            if name not in self.commands:
                raise self._unknown(name, problems)
        return super().resolve_command(ctx, args)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a plugin's command.

        Raises:
            ConfigurationError: there is one of that name.
        """
        name = name or cmd.name or ""
        if name in BUILT_IN or name in self.commands:
            raise ConfigurationError(f"there is a command {name!r} already; rename one")
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run; end with a sentence and an exit code where something is wrong."""
        try:
            return super().invoke(ctx)
        except Problem as problem:
            problem.show()
            ctx.exit(problem.code)
        except ConfigurationError as error:
            Problem.configuration(error).show()
            ctx.exit(Code.USAGE)
        except StreamerError as error:
            complain(f"{type(error).__name__}: {error}")
            ctx.exit(Code.FAILED)
        except KeyboardInterrupt:
            ctx.exit(Code.INTERRUPTED)

    def _extend(self, ctx: click.Context) -> list[str]:
        if self.extended:
            return []
        self.extended = True
        project = ctx.ensure_object(Project)
        problems = extend.add_commands(self, project)
        if project.config:
            # A plugin's command that has a --config of its own takes the global one for it.
            ctx.default_map = {name: {"config": str(project.config)} for name in self.commands}
        return problems

    def _unknown(self, name: str, problems: list[str]) -> Problem:
        if problems:
            return Problem(
                f"no command {name!r} is there; left out: {'; '.join(problems)}",
                hint="`streamer plugins doctor` checks the whole project",
            )
        if name in extend.BROUGHT_BY:
            return extend.missing(name)
        close = difflib.get_close_matches(name, [*BUILT_IN, *self.commands], n=1, cutoff=0.5)
        hint = f"did you mean `streamer {close[0]}`?" if close else "`streamer --help` lists all"
        return Problem(f"there is no command {name!r}", hint=hint)


def _remember(ctx: click.Context, _parameter: click.Parameter, config: Path | None) -> None:
    ctx.obj = Project(config)


def make_cli() -> Root:
    """Make the command line anew; plugins add to it."""

    @click.group(
        cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
    )
    @click.option(
        "--config",
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_remember,
        help="streamer.toml or pyproject.toml; left out: found here or in a parent folder.",
    )
    @click.version_option(package_name="streamer-core", message="streamer %(version)s")
    def cli() -> None:
        """Streamer: requests that take longer than a request should.

        `streamer init` begins a project, `streamer dev` serves it, `streamer send` asks it.
        """

    assert isinstance(cli, Root)
    return cli
