"""What the notifier function is invoked with: an event, and some of those it goes to."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from streamer_core.model.call import Outgoing

MOST_CONNECTIONS = 2000
"""Of one invocation: its payload stays under the 256 KB that Lambda takes, even with an event of
128 KB ("Lambda quotas", asynchronous invocation), and all are sent to within seconds."""


def errands(event: Outgoing, connections: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Give what the function is to be invoked with, each with the connections it is about."""
    data = base64.b64encode(event.data).decode()  # as text, its quotes could make it twice as long
    for first in range(0, len(connections), MOST_CONNECTIONS):
        part = list(connections[first : first + MOST_CONNECTIONS])
        told = {"type": event.type, "at": event.at, "data": data, "connections": part}
        yield json.dumps(told), part


def decoded(plain: Mapping[str, Any]) -> tuple[Outgoing, Sequence[str]]:
    """Read what the function was invoked with.

    Raises:
        KeyError, TypeError, ValueError: it is something else.
    """
    event = Outgoing(
        type=str(plain["type"]), data=base64.b64decode(plain["data"]), at=int(plain["at"])
    )
    return event, [str(one) for one in plain["connections"]]
