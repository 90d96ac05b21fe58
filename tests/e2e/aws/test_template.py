"""`lambdas/template.yaml`: what it says, and that it is what runs.

All of `tests/e2e/aws` runs on a deployment of it; here is what no journey would notice.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import pytest
from streamer_plugin_apigateway.settings import ApiGatewaySettings
from streamer_plugin_dynamodb import DynamoPlugin, deployment
from streamer_plugin_dynamodb.stream import FILTER
from websockets.exceptions import InvalidStatus

from streamer_core.settings import CoreSettings
from tests.e2e.aws.cloud import Cloud, template
from tests.e2e.aws.kit import joined, new_id, scenario

pytestmark = pytest.mark.timeout(180)

_SETTINGS = {
    "STREAMER_": CoreSettings,
    "STREAMER_PLUGINS__DYNAMODB__": DynamoPlugin.Settings,
    "STREAMER_PLUGINS__APIGATEWAY__": ApiGatewaySettings,
}
_NONE: Mapping[str, Any] = {"Variables": {}}


@pytest.fixture(scope="module")
def written() -> Mapping[str, Any]:
    return template()


@pytest.fixture(scope="module")
def resources(written: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = written["Resources"]
    return found


def of_kind(resources: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {name: one["Properties"] for name, one in resources.items() if one["Type"] == kind}


# -- what it says


def test_its_tables_are_those_of_the_store(resources: Mapping[str, Any]) -> None:
    tables = {n: one for n, one in resources.items() if one["Type"] == "AWS::DynamoDB::Table"}
    assert tables == deployment.template()


def test_the_stream_is_filtered_as_the_store_says(resources: Mapping[str, Any]) -> None:
    (event,) = resources["ProcessorFunction"]["Properties"]["Events"].values()
    patterns = [
        json.loads(one["Pattern"]) for one in event["Properties"]["FilterCriteria"]["Filters"]
    ]
    assert patterns == [FILTER]


def test_each_variable_is_a_setting(written: Mapping[str, Any]) -> None:
    functions = of_kind(written["Resources"], "AWS::Serverless::Function").values()
    given = [written["Globals"]["Function"], *functions]
    for name in {name for one in given for name in one.get("Environment", _NONE)["Variables"]}:
        prefix = max((one for one in _SETTINGS if name.startswith(one)), key=len)
        known = {one.name for one in fields(_SETTINGS[prefix])}
        assert name.removeprefix(prefix).lower() in known, name


def test_whatever_may_be_done_names_what_it_is_done_to(resources: Mapping[str, Any]) -> None:
    policies = of_kind(resources, "AWS::IAM::ManagedPolicy")
    assert policies
    for name, policy in policies.items():
        for statement in policy["PolicyDocument"]["Statement"]:
            named = [statement["Resource"], *statement["Action"]]
            assert "*" not in named, name
    for name, role in of_kind(resources, "AWS::IAM::Role").items():
        assert {one["Ref"] for one in role["ManagedPolicyArns"]} <= set(policies), name


def test_no_timer_is_given_again_to_another_worker_while_one_has_it(
    resources: Mapping[str, Any],
) -> None:
    longest = resources["WorkerFunction"]["Properties"]["Timeout"]
    assert resources["Timers"]["Properties"]["VisibilityTimeout"] >= 6 * longest


def test_every_function_is_watched_for_errors(resources: Mapping[str, Any]) -> None:
    alarms = of_kind(resources, "AWS::CloudWatch::Alarm")
    assert all(alarm["AlarmActions"] == [{"Ref": "Alarms"}] for alarm in alarms.values())
    watched = set(_functions_in(alarms["ErrorsAlarm"]["Metrics"]))
    assert watched == set(of_kind(resources, "AWS::Serverless::Function"))


def test_a_late_wake_is_an_alarm_where_workers_take_one_in_many_minutes(
    resources: Mapping[str, Any],
) -> None:
    """What nobody took is not measured: minutes without a wake must not silence it."""
    alarms = of_kind(resources, "AWS::CloudWatch::Alarm").values()
    late = [alarm for alarm in alarms if alarm.get("MetricName") == "AsyncEventAge"]
    assert [alarm["EvaluationPeriods"] for alarm in late] == [1, 1]


def _functions_in(metrics: list[Any]) -> Iterator[str]:
    for one in metrics:
        if "MetricStat" in one:
            (dimension,) = one["MetricStat"]["Metric"]["Dimensions"]
            yield dimension["Value"]["Ref"]


# -- what runs


def test_its_tables_are_as_the_store_needs_them(cloud: Cloud) -> None:
    differences = deployment.check(cloud.database)
    # The emulator passes over the time to live that the template names.
    assert [one for one in differences if "time to live" not in one] == []


@scenario
async def test_what_the_policies_do_not_allow_is_refused(cloud: Cloud) -> None:
    with cloud.lacking("ConnectionPolicy", "dynamodb:PutItem"), pytest.raises(InvalidStatus):
        async with joined(cloud):
            pass
    with cloud.lacking("StorePolicy", "dynamodb:GetItem"):
        async with joined(cloud) as wire:
            assert (await wire.ask("echo"))["error"]["code"] == "STORAGE_ERROR"
    async with joined(cloud) as wire:
        assert (await wire.ask("echo", {"x": 1}))["data"] == {"x": 1}


@scenario
async def test_each_lane_has_its_worker(cloud: Cloud) -> None:
    async with joined(cloud, "acme.ann.streamer:priority") as wire:
        for options, lanes in (
            ({}, "normal,low"),
            ({"priority": "high"}, "high"),
            # A timer wakes the worker of the other lanes, which passes it on.
            ({"priority": "high", "delay_ms": 1_000}, "high"),
        ):
            name = await wire.send("lanes", id=new_id(), options=options)
            end = await wire.end(name, bound_s=60)
            assert end.get("result") == {"lanes": lanes}, end


def test_a_bundle_holds_what_its_function_needs_and_no_more(cloud: Cloud) -> None:
    assert set(cloud.bundles) == {
        *("connect", "disconnect", "router"),
        *("processor", "worker", "notifier", "sweeper"),
    }
    for name, bundle in cloud.bundles.items():
        runs_handlers = name in {"router", "worker"}
        assert (bundle / "jobs.py").exists() == runs_handlers, name
        assert (bundle / "tokens.py").exists(), name
        assert (bundle / "streamer_core" / "__pycache__").exists(), name
        for left_out in ("boto3", "streamer_core/cli", "streamer_core/testing", "plugins.txt"):
            assert not (bundle / left_out).exists(), (name, left_out)
        frozen = json.loads((bundle / "streamer.frozen.json").read_text("utf-8"))
        assert {one["name"] for one in frozen["plugins"]} == {
            *("apigateway", "circuitbreaker", "cloudwatch", "dynamodb"),
            *("ratelimit", "tenancy", "tokens"),
        }
        assert frozen["handlers"] == ["jobs"]
