"""Follow a request to its end, or to where the caller stops."""

import asyncio
import shlex
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamer_core.cli.gateway import DEFAULT_URL, Gateway, problem_of
from streamer_core.cli.problem import Code, Problem

if TYPE_CHECKING:
    from streamer_client import Request

    from streamer_core.cli.view import View


@dataclass(kw_only=True)
class Watch:
    """One request being watched.

    Args:
        gateway: where it runs.
        request_id: its name; empty until there is a connection to send it on.
        timeout_ms: how long to watch; None: to its end.
        stored: whether the server is known to keep it, so that it goes on without us.
    """

    gateway: Gateway
    request_id: str = ""
    timeout_ms: int | None = None
    stored: bool = False

    async def to_the_end(self, handle: "Request", view: "View") -> None:
        """Show all there is; raises Problem where the end is no result."""
        await self._ends(self._show_all(handle, view), view)

    async def to_acknowledgment(self, handle: "Request", view: "View") -> None:
        """Show the acknowledgment; of a request that is answered at once, the answer."""
        await self._ends(self._show_first(handle, view), view)

    def left(self, why: str, code: Code) -> Problem:
        """Say what becomes of a request that nobody watches any more."""
        if not self.request_id:
            return Problem(f"{why} before the request was sent", code=code)
        if not self.stored:
            hint = "it was not acknowledged, so it may or may not have run"
            return Problem(f"{why}: request {self.request_id}", hint=hint, code=code)
        where = "" if self.gateway.url == DEFAULT_URL else f" --url {shlex.quote(self.gateway.url)}"
        again = f"streamer requests follow {shlex.quote(self.request_id)}{where}"
        sentence = f"{why}; request {self.request_id} goes on"
        return Problem(sentence, hint=f"follow it with: {again}", code=code)

    async def _ends(self, work: Coroutine[Any, Any, None], view: "View") -> None:
        from streamer_client import RequestError

        limit = asyncio.timeout(None if self.timeout_ms is None else self.timeout_ms / 1000)
        try:
            async with limit:
                await work
        except TimeoutError:
            if not limit.expired():
                raise
            raise self.left("no longer waiting", Code.TIMED_OUT) from None
        except RequestError as error:
            view.failed(error)
            raise problem_of(error) from None

    async def _show_all(self, handle: "Request", view: "View") -> None:
        acknowledging = asyncio.create_task(self._acknowledge(handle, view))
        try:
            async for update in handle:
                view.show(update)
        finally:
            acknowledging.cancel()

    async def _show_first(self, handle: "Request", view: "View") -> None:
        if not await self._acknowledge(handle, view):
            await self._show_all(handle, view)

    async def _acknowledge(self, handle: "Request", view: "View") -> bool:
        from streamer_client import StreamerError

        with suppress(StreamerError):  # the updates end with the same error
            if (said := await handle.acknowledged()) is not None:
                self.stored = True
                view.show(said)
                return True
        return False
