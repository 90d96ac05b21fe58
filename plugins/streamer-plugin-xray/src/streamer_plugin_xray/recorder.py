"""The SDK's recorder, set up for requests that are carried from process to process."""

from typing import Any

from aws_xray_sdk.core import xray_recorder
from aws_xray_sdk.core.lambda_launcher import LambdaContext


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


def opened(daemon: str) -> Any:
    """Give the process's recorder, sending to this daemon. Nothing is patched."""
    xray_recorder.emitter.set_daemon_address(daemon)
    if isinstance(xray_recorder.context, LambdaContext):
        xray_recorder.configure(context=PinnedContext())
    else:
        # Code outside a request has no segment, and its subsegments are left out without a word.
        xray_recorder.context.context_missing = "IGNORE_ERROR"
    return xray_recorder
