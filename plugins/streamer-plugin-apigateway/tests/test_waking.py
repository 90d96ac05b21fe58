"""Waking by Lambda and SQS, on an emulator of both."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from streamer_plugin_apigateway import ApiGatewayPlugin
from streamer_plugin_apigateway.settings import ApiGatewaySettings
from streamer_plugin_apigateway.wakes import decoded
from streamer_plugin_apigateway.waking import LONGEST_DELAY_S

from streamer_core.model.message import Priority
from streamer_core.ports import Change
from streamer_core.ports.store import ChangeKind
from streamer_core.testing import ManualClock
from tests.emulators import REGION

CHANGE = Change(kind=ChangeKind.DUE, ref="0" * 32, lane=Priority.LOW, due_at=1_800_000_000_000)


class App:
    """What the plugin asks of the application."""

    def __init__(self) -> None:
        self.clock = ManualClock()


@pytest.fixture
def queue(aws: Any) -> Iterator[str]:
    url: str = aws("sqs").create_queue(QueueName="wakes")["QueueUrl"]
    yield url
    aws("sqs").delete_queue(QueueUrl=url)


def plugin(**given: Any) -> ApiGatewayPlugin:
    return ApiGatewayPlugin(ApiGatewaySettings(region=REGION, **given), App())


def taken(aws: Any, queue: str) -> list[Mapping[str, Any]]:
    asked = {"QueueUrl": queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 2}
    return [
        json.loads(one["Body"]) for one in aws("sqs").receive_message(**asked).get("Messages", ())
    ]


def test_a_function_is_invoked(aws: Any, function: str) -> None:
    assert plugin(worker=function).streamer_dispatch(CHANGE) is True


def test_a_function_that_is_not_there_is_an_error(address: str) -> None:
    with pytest.raises(Exception, match="ResourceNotFound"):
        plugin(worker="nobody").streamer_dispatch(CHANGE)


def test_the_lane_picks_the_function() -> None:
    settings = ApiGatewaySettings(worker="w", high_worker="h")
    assert [settings.worker_of(lane) for lane in Priority] == ["h", "w", "w"]
    assert ApiGatewaySettings(worker="w").worker_of(Priority.HIGH) == "w"


def test_a_timer_comes_when_it_is_due(aws: Any, queue: str) -> None:
    soon = replace(CHANGE, due_at=ManualClock().now() + 1)
    assert plugin(timers=queue).streamer_schedule(soon) is True
    (body,) = taken(aws, queue)
    assert decoded(body) == soon


def test_what_is_too_far_off_is_left_to_the_sweeper(aws: Any, queue: str) -> None:
    far = replace(CHANGE, due_at=ManualClock().now() + LONGEST_DELAY_S * 1000 + 1)
    assert plugin(timers=queue).streamer_schedule(far) is False
    assert taken(aws, queue) == []


def test_without_settings_it_is_somebody_elses() -> None:
    assert plugin().streamer_dispatch(CHANGE) is None
    assert plugin().streamer_schedule(CHANGE) is None


def test_a_record_is_parked_whole(aws: Any, queue: str) -> None:
    record = {"eventName": "INSERT", "dynamodb": {"Keys": {"ref": {"S": "ä"}}}}
    assert plugin(parking=queue).streamer_park(record) is True
    assert taken(aws, queue) == [record]
    assert plugin().streamer_park(record) is None
