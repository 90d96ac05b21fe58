"""A dashboard and alarms on the metrics, as a template of CloudFormation.

A test holds every metric that is named here against those that the engine emits.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

Template = dict[str, Any]
Dimensions = Mapping[str, str]

_NAMESPACE: Template = {"Ref": "Namespace"}
_PERIOD_S = 60
_WIDTH, _HEIGHT, _ACROSS = 8, 6, 3


def template(namespace: str) -> Template:
    """Give the template; the namespace is its parameter's default."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Streamer - a dashboard of its metrics, and alarms on them",
        "Parameters": _parameters(namespace),
        "Conditions": {"HasTopic": {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmTopic"}, ""]}]}},
        "Resources": {"Dashboard": _dashboard(), **_alarms()},
    }


def _parameters(namespace: str) -> Template:
    return {
        "Namespace": {
            "Type": "String",
            "Default": namespace,
            "Description": "Of the metrics: [plugins.cloudwatch] namespace",
        },
        "Prefix": {
            "Type": "String",
            "Default": "streamer-",
            "AllowedPattern": "[A-Za-z0-9_-]{1,200}",
            "Description": "What the names of the dashboard and the alarms begin with",
        },
        "AlarmTopic": {
            "Type": "String",
            "Default": "",
            "Description": "The ARN of the SNS topic that alarms go to; empty is none",
        },
        "Errors": _number(1, "So many failed answers and refusals by our own fault in a minute"),
        "Throttled": _number(100, "So many messages refused for their number, or slowed, a minute"),
        "WaitMs": _number(60_000, "Of a hundred requests one waits so long for a worker"),
        "OldestMs": _number(300_000, "So long the oldest waiting request is due"),
    }


def _number(default: int, description: str) -> Template:
    return {"Type": "Number", "Default": default, "MinValue": 1, "Description": description}


# -- alarms


def _alarms() -> Template:
    return {
        "DeadLettersAlarm": _sum_alarm(
            "dead-letters",
            "A request has failed for good, and its handler did not say so; or what nobody could "
            "read, or others gave up, lies among the dead letters",
            "FILL(dead, 0) - FILL(rejected, 0) + FILL(unreadable, 0) + FILL(given_up, 0)",
            1,
            dead=_stat("request.dead_lettered", "Sum"),
            rejected=_stat("request.dead_lettered", "Sum", code="REJECTED"),
            unreadable=_stat("dlq.kept", "Sum", code="UNREADABLE"),
            given_up=_stat("dlq.kept", "Sum", code="GIVEN_UP"),
        ),
        "ErrorsAlarm": _sum_alarm(
            "errors",
            "Requests are answered with failures, or refused by our own fault",
            "FILL(failed, 0) + FILL(broken, 0) + FILL(unstored, 0) + FILL(outside, 0)",
            {"Ref": "Errors"},
            failed=_stat("request.answered", "SampleCount", outcome="failed"),
            broken=_stat("message.refused", "Sum", code="INTERNAL_ERROR"),
            unstored=_stat("message.refused", "Sum", code="STORAGE_ERROR"),
            outside=_stat("connection.refused", "Sum", code="STORAGE_ERROR"),
        ),
        "ThrottlesAlarm": _sum_alarm(
            "throttles",
            "Clients send or connect faster than they may, or take less than they are sent",
            "FILL(messages, 0) + FILL(quotas, 0) + FILL(connections, 0) + FILL(full, 0) "
            "+ FILL(busy, 0)",
            {"Ref": "Throttled"},
            messages=_stat("message.refused", "Sum", code="RATE_LIMITED"),
            quotas=_stat("message.refused", "Sum", code="QUOTA_EXCEEDED"),
            connections=_stat("connection.refused", "Sum", code="RATE_LIMITED"),
            full=_stat("connection.refused", "Sum", code="QUOTA_EXCEEDED"),
            busy=_stat("message.busy", "Sum"),
        ),
        "WaitingAlarm": _alarm(
            "queue-wait",
            "Requests wait for a worker: there are too few",
            {"Ref": "WaitMs"},
            periods=3,
            **_metric("request.waited"),
            ExtendedStatistic="p99",
            Period=_PERIOD_S,
        ),
        "OldestAlarm": _alarm(
            "oldest",
            "A request is due, and nobody has taken it",
            {"Ref": "OldestMs"},
            periods=3,
            **_metric("request.oldest"),
            Statistic="Maximum",
            Period=_PERIOD_S,
        ),
    }


def _sum_alarm(
    name: str, description: str, expression: str, threshold: Any, **stats: Template
) -> Template:
    whole = {"Id": "whole", "Expression": expression, "Label": description}
    parts = [{"Id": one, "ReturnData": False, "MetricStat": stat} for one, stat in stats.items()]
    return _alarm(name, description, threshold, periods=1, Metrics=[whole, *parts])


def _alarm(
    name: str, description: str, threshold: Any, *, periods: int, **measured: Any
) -> Template:
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": {"Fn::Sub": f"${{Prefix}}{name}"},
            "AlarmDescription": description,
            "AlarmActions": {
                "Fn::If": ["HasTopic", [{"Ref": "AlarmTopic"}], {"Ref": "AWS::NoValue"}]
            },
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "Threshold": threshold,
            "EvaluationPeriods": periods,
            "TreatMissingData": "notBreaching",
            **measured,
        },
    }


def _stat(name: str, stat: str, **dimensions: str) -> Template:
    return {"Metric": _metric(name, **dimensions), "Period": _PERIOD_S, "Stat": stat}


def _metric(name: str, **dimensions: str) -> Template:
    found: Template = {"Namespace": _NAMESPACE, "MetricName": name}
    if dimensions:
        found["Dimensions"] = [{"Name": key, "Value": one} for key, one in dimensions.items()]
    return found


# -- the dashboard


def _dashboard() -> Template:
    widgets = [
        {
            "type": "metric",
            "x": (i % _ACROSS) * _WIDTH,
            "y": (i // _ACROSS) * _HEIGHT,
            "width": _WIDTH,
            "height": _HEIGHT,
            "properties": {
                "title": title,
                "region": "${AWS::Region}",
                "period": _PERIOD_S,
                "view": "timeSeries",
                "metrics": metrics,
            },
        }
        for i, (title, metrics) in enumerate(_widgets())
    ]
    return {
        "Type": "AWS::CloudWatch::Dashboard",
        "Properties": {
            "DashboardName": {"Fn::Sub": "${Prefix}metrics"},
            "DashboardBody": {"Fn::Sub": json.dumps({"widgets": widgets})},
        },
    }


def _widgets() -> Sequence[tuple[str, list[Any]]]:
    """Give each widget's title and its metrics."""
    times = ("p50", "p99")
    return [
        (
            "Connections",
            [
                *_shown("Sum", "connection.opened", "connection.closed", "connection.refused"),
                *_shown("Maximum", "connection.stored", "connection.open"),
            ],
        ),
        (
            "Messages",
            _shown("Sum", "message.received", "message.answered", "message.sent", "message.busy"),
        ),
        (
            "Bytes",
            _shown("Sum", *(f"message.{one}.bytes" for one in ("received", "answered", "sent"))),
        ),
        (
            "Sync requests by outcome",
            _by("request.answered", "SampleCount", "outcome", "completed", "failed", "rejected"),
        ),
        (
            "Queued requests by outcome",
            [
                *_shown("Sum", "request.accepted"),
                *_by("request.ended", "Sum", "outcome", "completed", "failed", "cancelled"),
            ],
        ),
        (
            "Retries and dead letters",
            _shown("Sum", "request.retried", "request.dead_lettered", "request.swept"),
        ),
        ("Sync answer, ms", [one for stat in times for one in _shown(stat, "request.answered")]),
        (
            "Queue wait and execution, ms",
            [one for stat in times for one in _shown(stat, "request.waited", "request.executed")],
        ),
        ("Delivery, ms", [one for stat in times for one in _shown(stat, "message.latency")]),
        (
            "From accepted to ended, and the oldest waiting, ms",
            [*_shown("p99", "request.age"), *_shown("Maximum", "request.oldest")],
        ),
        (
            "Refused and throttled",
            [
                *_shown("Sum", "message.refused"),
                *_by("message.refused", "Sum", "code", "RATE_LIMITED", "INTERNAL_ERROR"),
            ],
        ),
        (
            "Circuits (0 closed, 1 half-open, 2 open: the worst of all), and progress coalesced",
            [
                *_shown("Maximum", "circuit.state"),
                *_by("circuit.change", "Sum", "state", "open"),
                *_shown("Sum", "progress.coalesced"),
            ],
        ),
    ]


def _shown(stat: str, *names: str) -> list[Any]:
    return [["${Namespace}", name, {"stat": stat, "label": f"{name} {stat}"}] for name in names]


def _by(name: str, stat: str, dimension: str, *values: str) -> list[Any]:
    return [
        ["${Namespace}", name, dimension, value, {"stat": stat, "label": f"{name} {value}"}]
        for value in values
    ]
