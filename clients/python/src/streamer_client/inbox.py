"""What has come and was not read yet."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """A queue that its reader finds ended, or failed, once it is empty."""

    def __init__(self) -> None:
        self.items: deque[Item] = deque()
        self._changed = asyncio.Event()
        self._closed = False
        self._error: Exception | None = None

    def __len__(self) -> int:
        return len(self.items)

    def put(self, item: Item) -> None:
        """Add at the end; nothing is added to a closed inbox."""
        if not self._closed:
            self.items.append(item)
            self._changed.set()

    def close(self, error: Exception | None = None) -> None:
        """Say that no more comes, and why; what is here can still be read."""
        if not self._closed:
            self._closed, self._error = True, error
            self._changed.set()

    async def get(self) -> Item:
        """Take the next; StopAsyncIteration at the end, or the error it was closed with."""
        while not self.items and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        if self.items:
            return self.items.popleft()
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration
