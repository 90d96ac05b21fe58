"""Waking workers: a Lambda function now, or through a queue later.

What wakes is a hint. It may come twice or late, and the claim decides who runs a request.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from streamer_core.model.message import Priority
from streamer_core.ports import Change
from streamer_core.ports.store import ChangeKind
from streamer_plugin_apigateway.clients import client
from streamer_plugin_apigateway.settings import ApiGatewaySettings

LONGEST_DELAY_S = 900
"""What SQS can wait: 15 minutes. What is due later, the sweeper comes back to."""


class Waker:
    """Wakes workers.

    Args:
        settings: name the functions and the queue.
    """

    def __init__(self, settings: ApiGatewaySettings) -> None:
        self._settings = settings

    def wake(self, change: Change) -> bool:
        """Invoke a worker function, and do not wait for it."""
        self._lambda.invoke(
            FunctionName=self._settings.worker_of(change.lane),
            InvocationType="Event",
            Payload=encoded(change).encode(),
        )
        return True

    def wake_later(self, change: Change, now: int) -> bool:
        """Have a worker invoked when a request is due; False where that is too far off."""
        delay_s = max(0, -(-(change.due_at - now) // 1000))
        if delay_s > LONGEST_DELAY_S:
            return False
        self._sqs.send_message(
            QueueUrl=self._settings.timers, MessageBody=encoded(change), DelaySeconds=delay_s
        )
        return True

    def park(self, record: Mapping[str, Any]) -> None:
        """Keep a record that nobody can read, for its operator."""
        self._sqs.send_message(QueueUrl=self._settings.parking, MessageBody=json.dumps(record))

    @cached_property
    def _lambda(self) -> Any:
        return client("lambda", region=self._settings.region)

    @cached_property
    def _sqs(self) -> Any:
        return client("sqs", region=self._settings.region)


def encoded(change: Change) -> str:
    """Give what a worker is woken with."""
    return json.dumps({"ref": change.ref, "lane": change.lane, "due_at": change.due_at})


def decoded(plain: Mapping[str, Any]) -> Change:
    """Read what a worker is woken with.

    Raises:
        KeyError, TypeError, ValueError: it is something else.
    """
    return Change(
        kind=ChangeKind.DUE,
        ref=str(plain["ref"]),
        lane=Priority(plain["lane"]),
        due_at=int(plain["due_at"]),
    )


def wakes(event: Mapping[str, Any]) -> Iterator[Change]:
    """Read the event of a worker function: one that was invoked, or messages of the queue.

    Raises:
        KeyError, TypeError, ValueError: it is something else.
    """
    if "Records" not in event:
        yield decoded(event)
        return
    for record in event["Records"]:
        yield decoded(json.loads(record["body"]))
