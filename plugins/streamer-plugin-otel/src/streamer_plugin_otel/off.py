"""What stands for tracing where it was not begun: makes nothing, and imports nothing."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext


def _ignore(_: object) -> None:
    """Take no notice of what became of it."""


class Off:
    """Stands for `Tracing` and `Flushing`: in a command, which starts no plugin, and in a start
    that another plugin ends before this one's turn."""

    def receiving(self, *_: object) -> None:
        """Do nothing."""

    running = left = receiving

    def storing(self, *_: object) -> AbstractContextManager[Callable[[object], None]]:
        """Surround nothing."""
        return nullcontext(_ignore)

    pushing = storing

    def context_for(self, *_: object) -> Mapping[str, str]:
        """Give nothing."""
        return {}

    def flush(self) -> None:
        """Send nothing."""
