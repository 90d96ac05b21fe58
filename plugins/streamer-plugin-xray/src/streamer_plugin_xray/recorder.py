"""The SDK's recorder, set up for requests that are carried from process to process."""

from collections.abc import Callable
from typing import Any

from aws_xray_sdk.core import xray_recorder
from aws_xray_sdk.core.emitters.udp_emitter import UDPEmitter
from aws_xray_sdk.core.lambda_launcher import LambdaContext

from streamer_plugin_xray.host import Host

_PATIENCE_S = 2
"""How long a start waits for the daemon's host to be found."""


class PinnedContext(LambdaContext):  # type: ignore[misc]  # the SDK has no types
    """The SDK's context on Lambda, which may be held to a trace that is not the invocation's.

    The SDK's own goes back to the invocation's segment whenever it is asked.
    """

    def pin(self, segment: Any) -> tuple[Any, ...]:
        """Go on under this segment in this thread, None: the invocation's; give what was before."""
        local = self._local
        names = ("segment", "entities", "pinned")
        before = tuple(getattr(local, name, None) for name in names)
        local.segment, local.entities, local.pinned = segment, [], segment is not None
        return before

    def restore(self, before: tuple[Any, ...]) -> None:
        """Go back to what was before."""
        self._local.segment, self._local.entities, self._local.pinned = before

    def _refresh_context(self) -> None:
        if not getattr(self._local, "pinned", False):
            super()._refresh_context()


class Emitter(UDPEmitter):  # type: ignore[misc]
    """Sends to a host that is looked up now and then; leaves out what there is until it is found.

    Args:
        daemon: its address.
        monotonic: a clock, in seconds.
    """

    def __init__(self, daemon: str, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        super().__init__(daemon)

    def set_daemon_address(self, address: str | None) -> None:
        """Send there from now on."""
        super().set_daemon_address(address)
        self.host = Host(self.ip, self._monotonic)

    def _send_data(self, data: str) -> None:
        number = self.host.number()
        if number is not None:
            self._socket.sendto(data.encode(), (number, self.port))


def opened(daemon: str, monotonic: Callable[[], float]) -> Any:
    """Give the process's recorder, sending to this daemon. Nothing is patched."""
    if type(xray_recorder.emitter) in (UDPEmitter, Emitter):  # none of the application's own
        xray_recorder.emitter._socket.close()  # noqa: SLF001 - nobody else does
        xray_recorder.emitter = Emitter(daemon, monotonic)
        xray_recorder.emitter.host.number(_PATIENCE_S)
    else:
        xray_recorder.emitter.set_daemon_address(daemon)
    if isinstance(xray_recorder.context, LambdaContext):
        xray_recorder.configure(context=PinnedContext())
    else:
        # Code outside a request has no segment, and its subsegments are left out without a word.
        xray_recorder.context.context_missing = "IGNORE_ERROR"
    return xray_recorder
