"""Waking workers: a Lambda function now, or through a queue later.

What wakes is a hint. It may come twice or late, and the claim decides who runs a request.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from streamer_core.ports import Change
from streamer_plugin_apigateway.clients import client
from streamer_plugin_apigateway.settings import ApiGatewaySettings
from streamer_plugin_apigateway.wakes import encoded

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
