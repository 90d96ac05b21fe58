"""Emptying SQS queues of what others put aside."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamer_core.errors import ConfigurationError, StreamerError
from streamer_plugin_dlq import entry
from streamer_plugin_dlq.letters import Letters
from streamer_plugin_dlq.settings import DlqSettings

_HELD_S = 60
"""How long a message is kept from others while it is stored here."""


def collect(letters: Letters, settings: DlqSettings, queue: str) -> int:
    """Move all messages of a queue to the dead letters; give how many.

    A message is deleted once it is kept, and its id is its key: where this ends in between, it
    comes again, and is kept once.

    Raises:
        ConfigurationError: botocore is not there, or does not know where the queue is.
        StreamerError: SQS cannot be reached, or says no.
    """
    client, moved = _client(settings), 0
    while messages := _received(client, queue):
        for message in messages:
            moved += letters.keep(entry.of_message(message, queue, settings))
        done = [
            {"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(messages)
        ]
        _ask(client.delete_message_batch, QueueUrl=queue, Entries=done)
    return moved


def _received(client: Any, queue: str) -> Sequence[Mapping[str, Any]]:
    answer = _ask(
        client.receive_message,
        QueueUrl=queue,
        MaxNumberOfMessages=10,
        WaitTimeSeconds=1,  # asks all servers of the queue, not a few of them
        VisibilityTimeout=_HELD_S,
        MessageSystemAttributeNames=["SentTimestamp"],
    )
    found: Sequence[Mapping[str, Any]] = answer.get("Messages", ())
    return found


def _ask(call: Callable[..., Mapping[str, Any]], **given: Any) -> Mapping[str, Any]:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        return call(**given)
    except (BotoCoreError, ClientError) as error:
        answer = getattr(error, "response", {})
        why = answer.get("Error", {}).get("Code") or type(error).__name__
        raise StreamerError(f"{given['QueueUrl']}: {why}") from error


def _client(settings: DlqSettings) -> Any:
    try:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - with queues alone
        from botocore.session import get_session  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(
            '[plugins.dlq] queues needs botocore; try: pip install "streamer-plugin-dlq[sqs]"'
        ) from None
    try:
        return get_session().create_client("sqs", region_name=settings.region)
    except BotoCoreError as error:
        raise ConfigurationError(f"[plugins.dlq] queues: {error}") from None
