"""The `streamer` command. Each sub-command is a file here, imported when it is asked for."""

import sys

_EXTRA = {"click", "rich", "streamer_client"}
_EXIT_USAGE = 2


def main() -> None:
    """Run the command line."""
    try:
        from streamer_core.cli.root import make_cli

        make_cli()(prog_name="streamer")
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        sys.stderr.write(
            f"Error: the command line needs {error.name}, which is not installed\n"
            'Hint: pip install "streamer-core[cli]"\n'
        )
        sys.exit(_EXIT_USAGE)
