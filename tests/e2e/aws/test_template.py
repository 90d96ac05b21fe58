"""`lambdas/template.yaml`: what it says, and that it is what runs.

All of `tests/e2e/aws` runs on a deployment of it; here is what no journey would notice.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import pytest
from streamer_plugin_apigateway.settings import ApiGatewaySettings
from streamer_plugin_dlq.settings import DlqSettings
from streamer_plugin_dynamodb import DynamoPlugin, deployment
from streamer_plugin_dynamodb.stream import FILTER
from websockets.exceptions import InvalidStatus

from lambdas.build import ROOT
from streamer_core.settings import CoreSettings
from tests.e2e.aws.cloud import PREFIX, Cloud, template
from tests.e2e.aws.kit import joined, new_id, scenario
from tests.e2e.kit.bounds import eventually
from tests.samples import aws_events

pytestmark = pytest.mark.timeout(400)

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
_SETTINGS = {
    "STREAMER_": CoreSettings,
    "STREAMER_PLUGINS__DYNAMODB__": DynamoPlugin.Settings,
    "STREAMER_PLUGINS__APIGATEWAY__": ApiGatewaySettings,
    "STREAMER_PLUGINS__DLQ__": DlqSettings,
}
_ALL = (
    *("BatchGetItem", "BatchWriteItem", "ConditionCheckItem", "DeleteItem"),
    *("GetItem", "PutItem", "Query", "UpdateItem"),
)
_QUEUES = ("ConditionCheckItem", "DeleteItem", "UpdateItem")
"""What moves queues, turns and slots asks of the state table; counters and values do not."""
_WRITES = ("DeleteItem", "PutItem", "UpdateItem")
_REFUSED: Mapping[str, Mapping[str, Sequence[str]]] = {
    "Connect": {
        "requests": _ALL,
        "updates": _ALL,
        "subscriptions": ("DeleteItem", "GetItem", "PutItem", "Query"),
        "state": _QUEUES,
    },
    "Disconnect": {
        "requests": _ALL,
        "updates": _ALL,
        "connections": ("BatchWriteItem", "PutItem", "Query", "UpdateItem"),
        "connections/index/by_age": ("Query",),
        "subscriptions": (*_WRITES, "Query"),
        "state": _QUEUES,
    },
    "Notifier": {
        "requests": _ALL,
        "updates": _ALL,
        "connections": ("BatchWriteItem", "PutItem", "Query", "UpdateItem"),
        "subscriptions": (*_WRITES, "Query"),
        "state": _QUEUES,
    },
    "Processor": {
        "requests": ("BatchGetItem", "BatchWriteItem", "DeleteItem", "PutItem", "Query"),
        "requests/index/by_user": ("Query",),
        "updates": ("BatchWriteItem", "DeleteItem", "PutItem"),
        "connections": ("PutItem", "UpdateItem"),
        "subscriptions": _WRITES,
        "state": _QUEUES,
    },
    "Sweeper": {
        "requests": ("BatchWriteItem", "DeleteItem", "PutItem"),
        "updates": ("BatchWriteItem",),
        "connections": ("PutItem", "UpdateItem"),
        "subscriptions": _WRITES,
        "state": ("DeleteItem",),
        "state/index/by_rank": ("Query",),
    },
    "Router": {"requests": ("BatchWriteItem", "DeleteItem"), "updates": ("BatchWriteItem",)},
    "Worker": {"requests": ("BatchWriteItem", "DeleteItem"), "connections": ("PutItem",)},
    "HighWorker": {"requests": ("BatchWriteItem", "DeleteItem"), "connections": ("PutItem",)},
}
"""By function and table, what it has no need of."""
_NO_VALUE = {"Ref": "AWS::NoValue"}
_OWN_KEY = {"Fn::If": ["HasOwnTableKey", {"Ref": "TableKey"}, _NO_VALUE]}
_KEY = {
    "Fn::If": [
        "HasTableKey",
        {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": _OWN_KEY},
        _NO_VALUE,
    ]
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


def tables_of(resources: Mapping[str, Any]) -> dict[str, Any]:
    return {n: one for n, one in resources.items() if one["Type"] == "AWS::DynamoDB::Table"}


# -- what it says


def test_its_tables_are_those_of_the_store(resources: Mapping[str, Any]) -> None:
    """But for the key, which is the same for all."""
    wanted = deployment.template()
    for table in wanted.values():
        table["Properties"]["SSESpecification"] = _KEY
    assert tables_of(resources) == wanted


def test_the_stream_is_filtered_as_the_store_says(resources: Mapping[str, Any]) -> None:
    (event,) = resources["ProcessorFunction"]["Properties"]["Events"].values()
    patterns = [
        json.loads(one["Pattern"]) for one in event["Properties"]["FilterCriteria"]["Filters"]
    ]
    assert patterns == [FILTER]


def test_the_stream_is_tried_again_as_the_architecture_says(resources: Mapping[str, Any]) -> None:
    """Lambda does all of this by itself, and the emulator little of it."""
    (event,) = resources["ProcessorFunction"]["Properties"]["Events"].values()
    mapping = event["Properties"]
    assert mapping["StartingPosition"] == "TRIM_HORIZON", "what came before it was made counts too"
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BisectBatchOnFunctionError"] is True
    assert (mapping["MaximumRetryAttempts"], mapping["MaximumRecordAgeInSeconds"]) == (5, 600)
    assert "After five more tries, or ten minutes, Lambda gives up" in ARCHITECTURE
    parking = {"Fn::GetAtt": ["Parking", "Arn"]}
    assert mapping["DestinationConfig"]["OnFailure"] == {"Type": "SQS", "Destination": parking}
    (may_park,) = (
        one
        for one in resources["StreamPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        if one["Action"] == "sqs:SendMessage"
    )
    assert may_park["Resource"] == parking


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


def test_the_sweeper_reads_queues_only_where_it_is_asked_to(resources: Mapping[str, Any]) -> None:
    variables = resources["SweeperFunction"]["Properties"]["Environment"]["Variables"]
    queues = {"Fn::Sub": '["${Parking}", "${DeadTimers}"]'}
    assert variables == {
        "STREAMER_PLUGINS__DLQ__QUEUES": {"Fn::If": ["CollectsDeadLetters", queues, _NO_VALUE]}
    }
    assert resources["CollectPolicy"]["Condition"] == "CollectsDeadLetters"


def test_what_the_sweeper_takes_out_of_a_queue_is_an_alarm(resources: Mapping[str, Any]) -> None:
    """It takes what comes within a minute: what is visible then may never be counted."""
    alarms = of_kind(resources, "AWS::CloudWatch::Alarm")
    metrics = ["NumberOfMessagesReceived", "ApproximateNumberOfMessagesVisible"]
    for name in ("DeadTimersAlarm", "ParkingAlarm"):
        assert alarms[name]["MetricName"] == {"Fn::If": ["CollectsDeadLetters", *metrics]}
        assert (alarms[name]["Statistic"], alarms[name]["Threshold"]) == ("Sum", 1)


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


def test_a_wake_that_is_refused_is_an_alarm(resources: Mapping[str, Any]) -> None:
    filtered = of_kind(resources, "AWS::Logs::MetricFilter")["NotWokenFilter"]
    (metric,) = filtered["MetricTransformations"]
    alarm = of_kind(resources, "AWS::CloudWatch::Alarm")["NotWokenAlarm"]
    assert filtered["LogGroupName"] == {"Ref": "Logs"}
    assert (alarm["Namespace"], alarm["MetricName"]) == (
        metric["MetricNamespace"],
        metric["MetricName"],
    )
    # One line in a minute is enough.
    assert (alarm["Statistic"], alarm["Threshold"], metric["MetricValue"]) == ("Sum", 1, "1")
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"


def _functions_in(metrics: list[Any]) -> Iterator[str]:
    for one in metrics:
        if "MetricStat" in one:
            (dimension,) = one["MetricStat"]["Metric"]["Dimensions"]
            yield dimension["Value"]["Ref"]


# -- what runs


def test_its_tables_are_as_the_store_needs_them(cloud: Cloud) -> None:
    differences = deployment.check(cloud.database)
    # The emulator's CloudFormation passes over these, and over the key, which is the usual one.
    passed_over = ("time to live", "point in time")
    assert [one for one in differences if not any(w in one for w in passed_over)] == []


@scenario
async def test_what_the_policies_do_not_allow_is_refused(cloud: Cloud) -> None:
    with cloud.lacking("ConnectPolicy", "dynamodb:PutItem"), pytest.raises(InvalidStatus):
        async with joined(cloud):
            pass
    with cloud.lacking("ForgetPolicy", "dynamodb:GetItem"):
        async with joined(cloud) as wire:
            assert (await wire.ask("echo"))["error"]["code"] == "STORAGE_ERROR"
    async with joined(cloud) as wire:
        assert (await wire.ask("echo", {"x": 1}))["data"] == {"x": 1}


@pytest.mark.parametrize("function", _REFUSED)
def test_no_function_may_do_what_it_has_no_need_of(cloud: Cloud, function: str) -> None:
    role, tables = f"{function}Role", f"dynamodb:table/{PREFIX}"
    for table, actions in _REFUSED[function].items():
        assert not cloud.allowed(role, tables + table, _ALL) & set(actions), table
    # What is asked is understood: this all of them may do.
    assert cloud.allowed(role, f"{tables}connections", _ALL) >= {"DeleteItem", "GetItem"}


def test_the_sweeper_may_empty_what_nobody_else_reads(cloud: Cloud) -> None:
    actions = ("ReceiveMessage", "DeleteMessage", "SendMessage", "PurgeQueue", "DeleteQueue")
    empties, sends = {"ReceiveMessage", "DeleteMessage"}, {"SendMessage"}
    for queue, may in (("parking", empties), ("timers-dead", empties), ("timers", sends)):
        assert cloud.allowed("SweeperRole", f"sqs:{PREFIX}{queue}", actions) == may, queue
    assert cloud.allowed("ProcessorRole", f"sqs:{PREFIX}parking", actions) == sends


@pytest.mark.parametrize(
    ("function", "asks", "sends"),
    [("Connect", True, False), ("Disconnect", False, False), ("Notifier", True, True)],
)
def test_connect_may_ask_whether_others_are_open(
    cloud: Cloud, function: str, *, asks: bool, sends: bool
) -> None:
    """A plugin does that limits a tenant's connections, before it refuses one."""
    for verb, may in (("GET", asks), ("POST", sends)):
        resource = f"execute-api:{cloud.api_id}/prod/{verb}/@connections/x"
        found = cloud.allowed(f"{function}Role", resource, ["ManageConnections"])
        assert bool(found) == may, verb


def test_each_function_is_held_to_its_needs(resources: Mapping[str, Any]) -> None:
    functions = of_kind(resources, "AWS::Serverless::Function")
    assert {f"{name}Function" for name in _REFUSED} == set(functions)


def test_the_line_of_a_refused_wake_fits_its_filter(
    cloud: Cloud, resources: Mapping[str, Any]
) -> None:
    """As the processor writes it, in the log group that the filter reads."""
    pattern = resources["NotWokenFilter"]["Properties"]["FilterPattern"]
    asked = re.fullmatch(r'{ \$\.(\w+) = "([^"]+)" }', pattern)
    assert asked is not None
    ref = new_id()
    event = aws_events.stream(
        aws_events.inserted(
            1,
            ref={"S": ref},
            change={"S": "due"},
            queue={"S": "normal/acme/="},
            due_at={"N": "1"},
        )
    )
    with cloud.lacking("WakePolicy", "lambda:InvokeFunction"):
        cloud.invoke("processor", event)

    def told() -> list[dict[str, Any]]:
        # A line that the emulator has not read by the end of its invocation comes with the next.
        cloud.invoke("processor", aws_events.stream())
        return [line for line in map(_as_json, cloud.logged()) if line.get("ref") == ref]

    (line,) = eventually(told, "the line")
    assert line[asked[1]] == asked[2]
    assert "AccessDenied" in line["exception"]


def _as_json(line: str) -> dict[str, Any]:
    try:
        read = json.loads(line)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


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
            *("apigateway", "circuitbreaker", "cloudwatch", "dlq", "dynamodb", "jwt"),
            *("ratelimit", "tenancy", "tokens"),
        }
        assert frozen["handlers"] == ["jobs", "reports"]
