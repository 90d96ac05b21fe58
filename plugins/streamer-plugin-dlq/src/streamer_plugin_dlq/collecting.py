"""Moving what lies in queues to the dead letters.

A message is deleted once it is kept, and its id is its key: where this ends in between, it comes
again, and is kept once.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from streamer_core.log import get_logger
from streamer_core.ports import Clock
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
    """Empties the queues of the settings.

    Args:
        letters: where it moves their messages to.
        clock: the application's.
    """

    def __init__(self, letters: Letters, settings: DlqSettings, clock: Clock) -> None:
        self._letters = letters
        self._settings = settings
        self._clock = clock

    def empty(self, queue: str) -> int:
        """Move all messages of a queue; give how many.

        Raises:
            QueueError: SQS cannot be reached, or says no.
        """
        moved = 0
        while messages := self._queues.receive(queue, wait_s=1):
            moved += self._keep(queue, messages)
            self._queues.delete(queue, messages)
        return moved

    def round(self, count: Callable[[int], object]) -> None:
        """Move what lies in the queues, as much as a round may take, without waiting for any.

        Args:
            count: is told how many were kept, batch by batch.
        """
        from streamer_plugin_dlq.sqs import QueueError  # noqa: PLC0415 - and botocore

        queues, began = self._settings.queues, self._clock.monotonic()
        for n, queue in enumerate(queues, 1):
            try:
                self._some(queue, began + MOST_S * n / len(queues), count)
            except QueueError as error:
                get_logger().warning("a queue was not collected", reason=str(error))

    def _some(self, queue: str, end: float, count: Callable[[int], object]) -> None:
        for _ in range(MOST_BATCHES):
            if self._clock.monotonic() >= end:
                return
            messages = self._queues.receive(queue, wait_s=0)
            if not messages:
                return
            if kept := self._keep(queue, messages):
                count(kept)
            self._queues.delete(queue, messages)

    def _keep(self, queue: str, messages: Sequence[Mapping[str, Any]]) -> int:
        """Keep messages; give how many were not kept before."""
        letters = (entry.of_message(one, queue, self._settings) for one in messages)
        return sum(map(self._letters.keep, letters))

    @cached_property
    def _queues(self) -> "Queues":
        from streamer_plugin_dlq.sqs import Queues  # noqa: PLC0415 - and botocore

        return Queues(self._settings.region)
