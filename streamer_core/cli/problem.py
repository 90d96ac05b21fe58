"""What a command ends with where it cannot do what it was asked."""

from enum import IntEnum

import click

from streamer_core.cli.text import clean


class Code(IntEnum):
    """Exit codes; `send` and `requests follow` end with the outcome of their request."""

    COMPLETE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    CANCELLED = 4
    TIMED_OUT = 5
    NO_CONNECTION = 6
    INTERRUPTED = 130


class Problem(Exception):
    """Ends the command.

    Args:
        sentence: what is wrong.
        hint: what to do about it.
        code: the exit code.
    """

    def __init__(self, sentence: str, *, hint: str = "", code: Code = Code.USAGE) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint
        self.code = code

    @classmethod
    def configuration(cls, error: Exception) -> "Problem":
        """Say what is wrong in the settings, the plugins or the handlers."""
        sentence, _, hint = str(error).partition("; try: ")
        return cls(sentence, hint=hint or "`streamer plugins doctor` checks the whole project")

    def show(self) -> None:
        """Print it to standard error."""
        complain(self.sentence, self.hint)


def complain(sentence: str, hint: str = "") -> None:
    """Print an error, and what to do about it, to standard error."""
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {clean(sentence)}", err=True)
    if hint:
        click.echo(f"{click.style('Hint:', bold=True)} {clean(hint)}", err=True)


def note(sentence: str) -> None:
    """Print what is worth knowing beside the answer to standard error."""
    click.echo(click.style(clean(sentence), dim=True), err=True)
