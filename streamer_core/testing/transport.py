"""A transport whose clients are lists."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

from streamer_core.errors import TransportError
from streamer_core.ports.transport import Delivery, Transport

Received = dict[str, Any]


class Inbox(Sequence[Received]):
    """What one connection received, decoded, in order."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._messages: list[Received] = []

    def put(self, message: Received) -> None:
        """Receive a message."""
        with self._changed:
            self._messages.append(message)
            self._changed.notify_all()

    def wait_for(self, wanted: Callable[[Received], bool], timeout_s: float = 5.0) -> Received:
        """Give the first message that is wanted, those here already included.

        Raises:
            TimeoutError: none came in time; names what did come.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for message in self._messages:
                    if wanted(message):
                        return message
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(f"not among {self._messages}")

    def wait_for_type(self, kind: str, timeout_s: float = 5.0) -> Received:
        """Give the first message of a type."""
        return self.wait_for(lambda message: message.get("type") == kind, timeout_s)

    def clear(self) -> None:
        """Forget what was received."""
        with self._changed:
            self._messages.clear()

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Received]:
        with self._changed:
            return iter(tuple(self._messages))

    @overload
    def __getitem__(self, index: int) -> Received: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Received]: ...
    def __getitem__(self, index: int | slice) -> Received | Sequence[Received]:
        with self._changed:
            return self._messages[index]

    def __repr__(self) -> str:
        return f"Inbox({self._messages})"


class MemoryTransport(Transport):
    """Connections are inboxes; a test makes them busy, gone or picky.

    Args:
        max_message_bytes: the longest message taken.
    """

    def __init__(self, *, max_message_bytes: int = Transport.max_message_bytes) -> None:
        self.max_message_bytes = max_message_bytes
        self.closed: dict[str, tuple[int, str]] = {}
        """Connections that the server closed: code and reason."""
        self._lock = threading.Lock()
        self._open: set[str] = set()
        self._inboxes: dict[str, Inbox] = {}
        self._busy: Counter[str] = Counter()
        self._failing: dict[str, list[tuple[Exception, bool]]] = {}

    def connect(self, connection_id: str | None = None) -> str:
        """Open a connection, `c-1`, `c-2`, … where no id is given; gives the id.

        Raises:
            ValueError: there has been one of that id; a transport never uses one twice.
        """
        with self._lock:
            chosen = connection_id or f"c-{len(self._inboxes) + 1}"
            if chosen in self._inboxes:
                raise ValueError(f"connection {chosen} has been there before")
            self._inboxes[chosen] = Inbox()
            self._open.add(chosen)
            return chosen

    def disconnect(self, connection_id: str) -> None:
        """Let the client go away: from now on it is gone."""
        with self._lock:
            self._open.discard(connection_id)

    def inbox(self, connection_id: str) -> Inbox:
        """Give what a connection received, also after it is gone."""
        return self._inboxes[connection_id]

    def busy_next(self, connection_id: str, times: int = 1) -> None:
        """Let the next sends find its buffer full."""
        with self._lock:
            self._busy[connection_id] = times

    def fail_next(
        self, connection_id: str, error: Exception | None = None, *, after: bool = False
    ) -> None:
        """Let a send raise, by default TransportError.

        Args:
            connection_id: whose next send fails.
            error: what to raise.
            after: raise once the message is received: whether it was, the sender cannot know.
        """
        with self._lock:
            failing = self._failing.setdefault(connection_id, [])
            failing.append((error or TransportError("the transport was told to fail"), after))

    def send(self, connection_id: str, data: bytes) -> Delivery:
        """Put one message into the connection's inbox."""
        message = json.loads(data.decode())
        with self._lock:
            if failing := self._failing.get(connection_id):
                error, after = failing.pop(0)
                if after and connection_id in self._open:
                    self._inboxes[connection_id].put(message)
                raise error
            if connection_id not in self._open:
                return Delivery.GONE
            if len(data) > self.max_message_bytes:
                return Delivery.TOO_LARGE
            if self._busy[connection_id] > 0:
                self._busy[connection_id] -= 1
                return Delivery.BUSY
            self._inboxes[connection_id].put(message)
            return Delivery.DELIVERED

    def close_connection(self, connection_id: str, code: int = 1000, reason: str = "") -> None:
        """Close a connection and note the code."""
        with self._lock:
            if connection_id in self._open:
                self._open.discard(connection_id)
                self.closed[connection_id] = (code, reason)

    def is_open(self, connection_id: str) -> bool:
        """Tell whether the connection can still be sent to."""
        with self._lock:
            return connection_id in self._open
