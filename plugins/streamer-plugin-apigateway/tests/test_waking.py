"""Waking by Lambda and SQS, on an emulator of both."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from streamer_plugin_apigateway import ApiGatewayPlugin, errands
from streamer_plugin_apigateway.settings import ApiGatewaySettings
from streamer_plugin_apigateway.wakes import decoded
from streamer_plugin_apigateway.waking import LONGEST_DELAY_S

from streamer_core.model.call import Outgoing
from streamer_core.model.message import Priority
from streamer_core.ports import Change, ChangeKind
from streamer_core.testing import ManualClock
from tests.emulators import REGION

CHANGE = Change(kind=ChangeKind.DUE, ref="0" * 32, lane=Priority.LOW, due_at=1_800_000_000_000)


class App:
    """What the plugin asks of the application."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.sent: list[tuple[Outgoing, Sequence[str]]] = []

    def send(self, event: Outgoing, connections: Sequence[str]) -> None:
        self.sent.append((event, connections))


@pytest.fixture
def queue(client_of: Any) -> Iterator[str]:
    url: str = client_of("sqs").create_queue(QueueName="wakes")["QueueUrl"]
    yield url
    client_of("sqs").delete_queue(QueueUrl=url)


def plugin(**given: Any) -> ApiGatewayPlugin:
    return plugin_of(App(), **given)


def plugin_of(app: App, **given: Any) -> ApiGatewayPlugin:
    return ApiGatewayPlugin(ApiGatewaySettings(region=REGION, **given), app)


def taken(client_of: Any, queue: str) -> list[Mapping[str, Any]]:
    asked = {"QueueUrl": queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 2}
    return [
        json.loads(one["Body"])
        for one in client_of("sqs").receive_message(**asked).get("Messages", ())
    ]


def test_a_function_is_invoked(client_of: Any, function: str) -> None:
    assert plugin(worker=function).streamer_dispatch(CHANGE) is True


def test_a_function_that_is_not_there_is_an_error(address: str) -> None:
    with pytest.raises(Exception, match="ResourceNotFound"):
        plugin(worker="nobody").streamer_dispatch(CHANGE)


def test_the_lane_picks_the_function() -> None:
    settings = ApiGatewaySettings(worker="w", high_worker="h")
    assert [settings.worker_of(lane) for lane in Priority] == ["h", "w", "w"]
    assert ApiGatewaySettings(worker="w").worker_of(Priority.HIGH) == "w"


def test_a_timer_comes_when_it_is_due(client_of: Any, queue: str) -> None:
    soon = replace(CHANGE, due_at=ManualClock().now() + 1)
    assert plugin(timers=queue).streamer_schedule(soon) is True
    (body,) = taken(client_of, queue)
    assert decoded(body) == soon


def test_what_is_too_far_off_is_left_to_the_sweeper(client_of: Any, queue: str) -> None:
    far = replace(CHANGE, due_at=ManualClock().now() + LONGEST_DELAY_S * 1000 + 1)
    assert plugin(timers=queue).streamer_schedule(far) is False
    assert taken(client_of, queue) == []


def test_without_settings_it_is_somebody_elses() -> None:
    assert plugin().streamer_dispatch(CHANGE) is None
    assert plugin().streamer_schedule(CHANGE) is None


def test_a_record_is_parked_whole(client_of: Any, queue: str) -> None:
    record = {"eventName": "INSERT", "dynamodb": {"Keys": {"ref": {"S": "ä"}}}}
    assert plugin(parking=queue).streamer_park(record) is True
    assert taken(client_of, queue) == [record]
    assert plugin().streamer_park(record) is None


EVENT = Outgoing(type="event", data=b'{"data":"\xc3\xa4"}')


def test_an_event_to_many_is_the_notifiers(function: str, address: str) -> None:
    app = App()
    notifying = plugin_of(app, notifier=function, fan_out=2)
    assert notifying.streamer_fan_out(EVENT, ["a", "b"]) is None
    assert notifying.streamer_fan_out(EVENT, ["a", "b", "c"]) is True
    assert plugin().streamer_fan_out(EVENT, ["a", "b", "c"]) is None
    assert app.sent == []


def test_where_the_notifier_cannot_be_invoked_it_is_sent_here(address: str) -> None:
    app = App()
    assert plugin_of(app, notifier="nobody", fan_out=1).streamer_fan_out(EVENT, ["a", "b"])
    assert app.sent == [(EVENT, ["a", "b"])]


def test_the_notifier_is_told_of_each_connection_once() -> None:
    connections = [f"{number:013}=" for number in range(2 * errands.MOST_CONNECTIONS + 1)]
    large = Outgoing(type="event", data=b'"' * 131_072, at=1_800_000_000_000)
    told = [payload for payload, _ in errands.errands(large, connections)]
    assert max(map(len, told)) < 256 * 1024  # what Lambda takes
    read = [errands.decoded(json.loads(payload)) for payload in told]
    assert [one for _, part in read for one in part] == connections
    assert all(event == large for event, _ in read)
