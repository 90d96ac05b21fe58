"""The transport of a process that has no clients: a command, a job."""

from streamer_core.ports.transport import Delivery, Transport


class Detached(Transport):
    """Sends nothing, and says so: every message stays unsent, for the gateway to deliver.

    `BUSY`, not `GONE`: whoever is told that a connection is gone forgets it.
    """

    def send(self, connection_id: str, data: bytes) -> Delivery:  # noqa: ARG002
        """Take nothing."""
        return Delivery.BUSY

    def close_connection(self, connection_id: str, code: int = 1000, reason: str = "") -> None:
        """Leave it to the gateway."""

    def is_open(self, connection_id: str) -> bool:  # noqa: ARG002
        """Take it as open: from here nobody can tell."""
        return True
