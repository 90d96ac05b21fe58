"""What waits to be sent, in order and within bounds."""

import asyncio
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

from streamer_client.errors import OutboxFull


class Outgoing(Protocol):
    """A message with a name."""

    @property
    def id(self) -> str:
        """What the answer will carry as ``request_id``."""

    @property
    def data(self) -> bytes:
        """The encoded message."""


Item = TypeVar("Item", bound=Outgoing)


class Outbox(Generic[Item]):
    """A queue bounded by messages and by bytes."""

    def __init__(self, *, limit: int, limit_bytes: int) -> None:
        self._items: OrderedDict[str, Item] = OrderedDict()
        self._bytes = 0
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> None:
        """Add a message at the end, or raise OutboxFull."""
        if len(self) >= self._limit or self._bytes + len(item.data) > self._limit_bytes:
            raise OutboxFull(f"{len(self)} messages ({self._bytes:,} bytes) wait to be sent")
        self._items[item.id] = item
        self._added(item)

    def put_back(self, item: Item) -> None:
        """Add a message that was taken before, at the front; there is always room for it."""
        self._items[item.id] = item
        self._items.move_to_end(item.id, last=False)
        self._added(item)

    async def wait(self) -> None:
        """Wait until something is there."""
        await self._filled.wait()

    def take(self) -> Item:
        """Remove the first message."""
        _, item = self._items.popitem(last=False)
        self._removed(item)
        return item

    def withdraw(self, item: Item) -> bool:
        """Remove a message that has not been sent; False where it was not here."""
        if self._items.pop(item.id, None) is None:
            return False
        self._removed(item)
        return True

    def _added(self, item: Item) -> None:
        self._bytes += len(item.data)
        self._filled.set()

    def _removed(self, item: Item) -> None:
        self._bytes -= len(item.data)
        if not self._items:
            self._filled.clear()
