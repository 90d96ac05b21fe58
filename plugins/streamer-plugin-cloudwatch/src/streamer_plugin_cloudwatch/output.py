"""Where lines go."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from streamer_core.errors import ConfigurationError

Output = Callable[[Iterable[str]], None]


def output_for(to: str, root: Path) -> Output:
    """Give what writes lines to standard output, or to a file."""
    return to_stdout if to == "stdout" else ToFile(root / to)


def to_stdout(lines: Iterable[str]) -> None:
    """Write to standard output."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


class ToFile:
    """Adds to a file that other processes may write to as well.

    It is opened for each write, so that it may be renamed in between, and written at once, so that
    no line of another process comes in between.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self) -> None:
        """Try it.

        Raises:
            ConfigurationError: it cannot be written to.
        """
        try:
            self(())
        except OSError as error:
            raise ConfigurationError(
                f"[plugins.cloudwatch] to = {str(self._path)!r} cannot be written: "
                f"{error.strerror}; name a file in a folder that is there, or stdout"
            ) from None

    def __call__(self, lines: Iterable[str]) -> None:
        """Write."""
        with self._path.open("ab", buffering=0) as file:
            file.write("".join(f"{line}\n" for line in lines).encode())
