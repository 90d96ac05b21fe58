"""Waiting until failed requests are started again."""

import asyncio
from collections.abc import Callable, Iterable

from streamer_client.errors import StreamerError
from streamer_client.request import Request


class Redrives:
    """The failed requests that somebody waits for."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[Request], Request] = {}

    @property
    def failed(self) -> Iterable[Request]:
        """The failed ones."""
        return self._waiting.values()

    async def wait(self, failed: Request) -> Request:
        """Wait for the new request, or for the error that ends the waiting."""
        new: asyncio.Future[Request] = asyncio.get_running_loop().create_future()
        self._waiting[new] = failed
        try:
            return await new
        finally:
            del self._waiting[new]

    def begun(self, ref: object, follow: Callable[[], Request]) -> None:
        """Learn that the one of this ``ref`` was; ``follow`` gives the new one."""
        for new, failed in self._waiting.items():
            if failed.ref == ref and not new.done():
                new.set_result(follow())

    def refused(self, error: StreamerError, those: Callable[[Request], bool]) -> None:
        """Learn that the server will not tell about those."""
        for new, failed in self._waiting.items():
            if those(failed) and not new.done():
                new.set_exception(error)
