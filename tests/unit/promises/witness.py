"""A transport that sees to it that nothing is sent before it is stored: promise 1."""

import json
from typing import Any

from streamer_core.model.ids import ref_of
from streamer_core.ports import Delivery, Store
from streamer_core.testing import MemoryTransport

TENANT, USER = "acme", "ann"


def ref(request_id: str) -> str:
    """Give the key of a request of the one user there is."""
    return ref_of(TENANT, USER, request_id)


class Witness(MemoryTransport):
    """Looks at each numbered message as it is sent.

    Attributes:
        truth: the store, by a way that no fault strikes.
        broken: what was sent and not stored, or stored otherwise.
    """

    truth: Store

    def __init__(self) -> None:
        super().__init__()
        self.broken: list[dict[str, Any]] = []

    def send(self, connection_id: str, data: bytes) -> Delivery:
        """Send, and look."""
        message = json.loads(data)
        if "seq" in message and not self._is_stored(message):
            self.broken.append(message)
        return super().send(connection_id, data)

    def _is_stored(self, message: dict[str, Any]) -> bool:
        seq = message["seq"]
        found = self.truth.updates(ref(message["request_id"]), after=seq - 1, limit=1)
        return bool(found) and (found[0].seq, found[0].kind) == (seq, message["type"])
