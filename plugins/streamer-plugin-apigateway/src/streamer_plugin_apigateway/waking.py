"""Waking other functions: a worker now, or through a queue later; the notifier for an event.

What wakes a worker is a hint. It may come twice or late, and the claim decides who runs a request.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from streamer_core.log import get_logger
from streamer_core.model.call import Outgoing
from streamer_core.ports import Change
from streamer_plugin_apigateway.clients import client
from streamer_plugin_apigateway.errands import errands
from streamer_plugin_apigateway.settings import ApiGatewaySettings
from streamer_plugin_apigateway.wakes import encoded

LONGEST_DELAY_S = 900
"""What SQS can wait: 15 minutes. What is due later, the sweeper comes back to."""


class Waker:
    """Wakes other functions.

    Args:
        settings: name the functions and the queues.
    """

    def __init__(self, settings: ApiGatewaySettings) -> None:
        self._settings = settings

    def wake(self, change: Change) -> bool:
        """Invoke a worker function, and do not wait for it."""
        self._invoke(self._settings.worker_of(change.lane), encoded(change))
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

    def fan_out(self, event: Outgoing, connections: Sequence[str]) -> list[str]:
        """Invoke the notifier for an event; give those of its connections that this failed for."""
        failed: list[str] = []
        for payload, part in errands(event, connections):
            try:
                self._invoke(self._settings.notifier, payload)
            except (BotoCoreError, ClientError):
                get_logger().exception("the notifier could not be invoked", connections=len(part))
                failed.extend(part)
        return failed

    def park(self, record: Mapping[str, Any]) -> None:
        """Keep a record that nobody can read, for its operator."""
        self._sqs.send_message(QueueUrl=self._settings.parking, MessageBody=json.dumps(record))

    def _invoke(self, function: str | None, payload: str) -> None:
        self._lambda.invoke(FunctionName=function, InvocationType="Event", Payload=payload.encode())

    @cached_property
    def _lambda(self) -> Any:
        return client("lambda", region=self._settings.region)

    @cached_property
    def _sqs(self) -> Any:
        return client("sqs", region=self._settings.region)
