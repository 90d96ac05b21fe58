"""The way to a client."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum

from streamer_core.errors import TransportError


class Delivery(Enum):
    """How a send ended.

    `DELIVERED` means handed to the transport; only the client's own `resume` proves more.
    """

    DELIVERED = "delivered"
    GONE = "gone"
    BUSY = "busy"
    TOO_LARGE = "too_large"


class Transport(ABC):
    """Sends text frames to connections by id. Every method may be called from any thread."""

    max_message_bytes: int = 128 * 1024
    """The longest message it carries (API Gateway: WebSocket quotas, message payload size)."""

    @abstractmethod
    def send(self, connection_id: str, data: bytes) -> Delivery:
        """Send one message of UTF-8 JSON.

        `GONE`: there is no such connection, and there will not be again. `BUSY`: its buffer is
        full; the message was not taken. `TOO_LARGE`: over `max_message_bytes`.

        Raises:
            TransportError: the transport itself failed; whether it was sent is unknown.
        """

    def send_many(self, connection_ids: Sequence[str], data: bytes) -> Mapping[str, Delivery]:
        """Send the same message to many; one that fails, which counts as busy, holds up no other.

        A transport that can do better than one after the other should.
        """
        return {connection_id: self._tried(connection_id, data) for connection_id in connection_ids}

    def send_each(self, messages: Sequence[tuple[str, bytes]]) -> Sequence[Delivery]:
        """Send many messages, each `(connection_id, data)` to its own; in order, else as above."""
        return [self._tried(connection_id, data) for connection_id, data in messages]

    def _tried(self, connection_id: str, data: bytes) -> Delivery:
        try:
            return self.send(connection_id, data)
        except TransportError:
            return Delivery.BUSY

    @abstractmethod
    def close_connection(self, connection_id: str, code: int = 1000, reason: str = "") -> None:
        """Close a connection; one that is gone is no error. `reason` is public, ≤ 123 bytes."""

    @abstractmethod
    def is_open(self, connection_id: str) -> bool:
        """Tell whether the connection can still be sent to."""

    def close(self) -> None:  # noqa: B027 - a transport may have nothing to let go
        """Let go of what the transport holds."""
