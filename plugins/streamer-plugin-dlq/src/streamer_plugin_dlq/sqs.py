"""Queues of SQS."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from streamer_core.errors import StreamerError

_HELD_S = 60
"""How long a message is kept from others while it is stored here."""
_CONNECT_S, _READ_S = 2, 5
_AT_ONCE = 10
"""A receive's most: API reference of SQS, ReceiveMessage."""


class QueueError(StreamerError):
    """SQS cannot be reached, or says no. The text names the queue."""


class Queues:
    """The queues of a region, each by its name or its address.

    Raises:
        QueueError: botocore does not know where they are.
    """

    def __init__(self, region: str | None) -> None:
        try:
            self._client = get_session().create_client(
                "sqs",
                region_name=region,
                config=Config(
                    connect_timeout=_CONNECT_S,
                    read_timeout=_READ_S,
                    retries={"mode": "standard", "total_max_attempts": 1},
                ),
            )
        except (BotoCoreError, ValueError) as error:  # the second: of an endpoint
            raise QueueError(f"[plugins.dlq] queues: {error}") from None
        self._addresses: dict[str, str] = {}

    def receive(self, queue: str, *, wait_s: int) -> Sequence[Mapping[str, Any]]:
        """Take ten messages at most, hidden from others for a minute.

        Args:
            wait_s: how long SQS waits for the first, and so asks all servers of the queue; 0 asks a
                few of them, so that none may come though there are some.

        Raises:
            QueueError: SQS cannot be reached, or says no.
        """
        answer = _ask(
            queue,
            self._client.receive_message,
            QueueUrl=self._address(queue),
            MaxNumberOfMessages=_AT_ONCE,
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=_HELD_S,
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        found: Sequence[Mapping[str, Any]] = answer.get("Messages", ())
        return found

    def delete(self, queue: str, messages: Sequence[Mapping[str, Any]]) -> None:
        """Delete what was received.

        Raises:
            QueueError: SQS cannot be reached, or says no.
        """
        done = [
            {"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(messages)
        ]
        address = self._address(queue)
        _ask(queue, self._client.delete_message_batch, QueueUrl=address, Entries=done)

    def _address(self, queue: str) -> str:
        if "/" in queue:
            return queue
        if queue not in self._addresses:
            answer = _ask(queue, self._client.get_queue_url, QueueName=queue)
            self._addresses[queue] = answer["QueueUrl"]
        return self._addresses[queue]


def _ask(queue: str, call: Callable[..., Mapping[str, Any]], **given: Any) -> Mapping[str, Any]:
    try:
        return call(**given)
    except ClientError as error:
        reason = error.response["Error"]["Code"]
        raise QueueError(f"{queue} cannot be emptied: {reason}") from error
    except BotoCoreError as error:
        raise QueueError(f"{queue} cannot be emptied: {type(error).__name__}") from error
