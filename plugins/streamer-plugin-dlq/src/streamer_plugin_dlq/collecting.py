"""Moving what lies in queues to the dead letters.

A message is deleted once it is kept, and its id is its key: where this ends in between, it comes
again, and is kept once.
"""

import math
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from streamer_core.log import get_logger
from streamer_plugin_dlq import entry
from streamer_plugin_dlq.letters import Letters
from streamer_plugin_dlq.settings import DlqSettings

if TYPE_CHECKING:
    from streamer_plugin_dlq.sqs import Queues

MOST_BATCHES = 10
"""How many a round takes of a queue; a batch has ten messages at most."""
MOST_S = 4.0
"""How long a round goes on, shared out evenly to the queues."""


class Collector:
    """Empties the queues of the settings, and counts what is kept.

    Args:
        letters: where it moves their messages to.
        app: the application, opened.
    """

    def __init__(self, letters: Letters, settings: DlqSettings, app: Any) -> None:
        self._letters = letters
        self._settings = settings
        self._app = app

    def round(self) -> None:
        """Move what lies in the queues, as much as a round may take, without waiting for any."""
        from streamer_plugin_dlq.sqs import QueueError  # noqa: PLC0415 - and botocore

        queues, began = self._settings.queues, self._app.clock.monotonic()
        for n, queue in enumerate(queues, 1):
            end = began + MOST_S * n / len(queues)
            try:
                for _ in islice(self.batches(queue, wait_s=0, end=end), MOST_BATCHES):
                    pass
            except QueueError as error:
                get_logger().warning("a queue was not collected", reason=str(error))

    def batches(self, queue: str, *, wait_s: int = 1, end: float = math.inf) -> Iterator[int]:
        """Move the messages of a queue; give of each batch how many were not kept before.

        Args:
            wait_s: see `Queues.receive`.
            end: when no other batch is begun, by the monotonic clock.

        Raises:
            QueueError: SQS cannot be reached, or says no.
        """
        while self._app.clock.monotonic() < end:
            messages = self._queues.receive(queue, wait_s=wait_s)
            if not messages:
                return
            kept = sum(self._keep(entry.of_message(one, queue, self._settings)) for one in messages)
            self._queues.delete(queue, messages)
            yield kept

    def _keep(self, letter: entry.Letter) -> bool:
        kept = self._letters.keep(letter)
        if kept:
            tags = {"action": "none", "code": letter.entry.code}
            self._app.runtime.measure("dlq.kept", tags=tags)
        return kept

    @cached_property
    def _queues(self) -> "Queues":
        from streamer_plugin_dlq.sqs import Queues  # noqa: PLC0415 - and botocore

        return Queues(self._settings.region)
