"""The dashboard and the alarms look at metrics that are emitted, with the statistics they have."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from streamer_plugin_cloudwatch.command import cloudwatch
from streamer_plugin_cloudwatch.settings import CloudWatchSettings
from streamer_plugin_cloudwatch.template import template

from tests.unit.every_path import rig_of, walk

WRITTEN = template("Streamer")
BY_OTHERS = {"connection.open", "circuit.state", "dlq.kept"}
"""Emitted by the local gateway, which knows its sockets, and by the plugins that keep circuits and
dead letters."""
NEVER_HERE = {"INTERNAL_ERROR", "STORAGE_ERROR", "RATE_LIMITED", "QUOTA_EXCEEDED"}
"""Codes that another part of the walk does not end in; the dimension they are of is emitted."""


class Looked(NamedTuple):
    """A metric as an alarm or a widget looks at it."""

    name: str
    dimensions: frozenset[tuple[str, str]]
    stat: str


def _in_alarms() -> Iterator[Looked]:
    for one in WRITTEN["Resources"].values():
        properties = one["Properties"]
        if one["Type"] != "AWS::CloudWatch::Alarm":
            continue
        for query in properties.get("Metrics", []):
            if "MetricStat" in query:
                yield _looked(query["MetricStat"]["Metric"], query["MetricStat"]["Stat"])
        if "MetricName" in properties:
            stat = properties.get("Statistic") or properties["ExtendedStatistic"]
            yield _looked(properties, stat)


def _looked(metric: dict[str, Any], stat: str) -> Looked:
    assert metric["Namespace"] == {"Ref": "Namespace"}
    dimensions = {one["Name"]: one["Value"] for one in metric.get("Dimensions", [])}
    return Looked(metric["MetricName"], frozenset(dimensions.items()), stat)


def _on_the_dashboard() -> Iterator[Looked]:
    body = json.loads(WRITTEN["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
    for widget in body["widgets"]:
        for namespace, name, *dimensions, shown in widget["properties"]["metrics"]:
            assert namespace == "${Namespace}"
            pairs = zip(dimensions[::2], dimensions[1::2], strict=True)
            yield Looked(name, frozenset(pairs), shown["stat"])


@pytest.fixture
def read(make: Any) -> Any:
    made = make()
    rig = rig_of(made.plugin)
    walk(rig)
    rig.app.runtime.tell("streamer_on_circuit_change", name="c", before="closed", after="open")
    return made.read()


@pytest.mark.parametrize("looked", [_in_alarms, _on_the_dashboard])
def test_every_metric_is_emitted(looked: Any, read: Any) -> None:
    seen = set(looked())
    assert seen
    for one in seen:
        if one.name in BY_OTHERS:
            continue
        keys = {(s.name, frozenset(key for key, _ in s.dimensions)) for s in read.values}
        assert (one.name, frozenset(key for key, _ in one.dimensions)) in keys, one
        for value in {value for _, value in one.dimensions} - NEVER_HERE:
            assert value in {v for s in read.values if s.name == one.name for _, v in s.dimensions}
        is_count = read.units[one.name] in {"Count", "Bytes"}
        assert is_count == (one.stat == "Sum"), f"{one}: a sum of counts, or statistics of others"


def test_every_metric_of_the_engine_is_on_the_dashboard(read: Any) -> None:
    assert {series.name for series in read.values} <= {one.name for one in _on_the_dashboard()}


@pytest.mark.parametrize(
    "name", ["DeadLetters", "Errors", "Waiting", "Throttles", "Oldest"], ids=str.lower
)
def test_each_alarm_can_fire(name: str) -> None:
    """It tells somebody, looks at each minute, and is quiet where nothing happens."""
    alarm = WRITTEN["Resources"][f"{name}Alarm"]["Properties"]
    assert alarm["TreatMissingData"] == "notBreaching"
    assert alarm["AlarmActions"]["Fn::If"][1] == [{"Ref": "AlarmTopic"}]
    whole = [one for one in alarm.get("Metrics", []) if one.get("ReturnData", True)]
    assert len(whole) == ("Metrics" in alarm)
    for one in whole:
        for query in alarm["Metrics"][1:]:
            assert f"FILL({query['Id']}, 0)" in one["Expression"]


def test_dead_letters_that_are_no_requests_raise_the_alarm() -> None:
    """Where they are kept, they lie in no queue whose own alarm would tell."""
    (whole, *parts) = WRITTEN["Resources"]["DeadLettersAlarm"]["Properties"]["Metrics"]
    looked = {one["Id"]: _looked(one["MetricStat"]["Metric"], "Sum") for one in parts}
    for query, code in (("unreadable", "UNREADABLE"), ("given_up", "GIVEN_UP")):
        assert looked[query] == Looked("dlq.kept", frozenset({("code", code)}), "Sum")
        assert f"+ FILL({query}, 0)" in whole["Expression"]


def test_whatever_is_refused_for_its_number_is_a_throttle() -> None:
    metrics = WRITTEN["Resources"]["ThrottlesAlarm"]["Properties"]["Metrics"][1:]
    looked = [_looked(one["MetricStat"]["Metric"], "Sum") for one in metrics]
    refused = {
        (f"{what}.refused", code)
        for what in ("message", "connection")
        for code in ("RATE_LIMITED", "QUOTA_EXCEEDED")
    }
    assert {(one.name, value) for one in looked for _, value in one.dimensions} == refused


def test_the_command_prints_it() -> None:
    settings = CloudWatchSettings(namespace="Shop")
    printed = CliRunner().invoke(cloudwatch(settings), ["template"], obj=settings)
    assert json.loads(printed.output) == template("Shop")
    assert template("Shop")["Parameters"]["Namespace"]["Default"] == "Shop"
