"""What the edge has to do after a message was received."""

from streamer_core.model.connection import Connection
from streamer_core.records import record


@record
class Received:
    """The answer to one message.

    Args:
        frames: what to send on the connection it came from, in order: UTF-8 JSON.
        connection: the connection as it is from now on, where the message renewed it.
        close: code and public reason, where the connection must be closed after the frames.
    """

    frames: tuple[bytes, ...] = ()
    connection: Connection | None = None
    close: tuple[int, str] | None = None
