"""What stands for tracing where it was not begun: makes nothing, and imports nothing."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext


class Off:
    """Stands for `Tracing`: in a command, which starts no plugin, and in a start that another
    plugin ends before this one's turn."""

    def receiving(self, *_: object) -> None:
        """Do nothing."""

    running = left = receiving

    def pushing(self, *_: object) -> AbstractContextManager[None]:
        """Surround nothing."""
        return nullcontext()

    def header_for(self, *_: object) -> Mapping[str, str]:
        """Give nothing."""
        return {}
