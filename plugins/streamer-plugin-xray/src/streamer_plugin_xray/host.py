"""The host of a daemon, and where it is now."""

import socket
from collections.abc import Callable
from math import inf
from threading import Thread

from streamer_core.log import get_logger
from streamer_plugin_xray.address import is_number

_EVERY_S = 60
"""A daemon that has moved is found within that."""


class Host:
    """The host of a daemon, whose name is looked up beside those who send.

    The SDK looks it up for each segment, while a client waits, as long as a name server is silent.

    Args:
        name: or number, which needs no looking up.
        monotonic: a clock, in seconds.
    """

    def __init__(self, name: str, monotonic: Callable[[], float]) -> None:
        self._name = name
        self._monotonic = monotonic
        self._number = name if is_number(name) else None
        self._due = inf if self._number else -inf

    def number(self, wait_s: float = 0) -> str | None:
        """Give its number, as it was last found; None: it was not.

        Args:
            wait_s: how long to wait at most, where it is looked up now.
        """
        if self._monotonic() >= self._due:
            self._due = self._monotonic() + _EVERY_S
            looking = Thread(target=self._look_up, name="streamer-xray", daemon=True)
            looking.start()
            looking.join(wait_s)
        return self._number

    def _look_up(self) -> None:
        try:
            self._number = socket.gethostbyname(self._name)
        except OSError:
            get_logger().warning(
                "the X-Ray daemon's host is not found", host=self._name, again_in_s=_EVERY_S
            )
