"""What a line must be, by CloudWatch's specification of the format, and who reads them."""

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from streamer_plugin_cloudwatch import CloudWatchPlugin

from streamer_core.testing import ManualClock

_SIZES = ("", "Kilo", "Mega", "Giga", "Tera")
_AMOUNTS = [f"{size}{one}".capitalize() for one in ("bytes", "bits") for size in _SIZES]
UNITS = {
    *("Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "Count/Second", "None"),
    *_AMOUNTS,
    *(f"{one}/Second" for one in _AMOUNTS),
}
MOST_BYTES = 256 * 1024


def check(line: str) -> dict[str, Any]:
    """Hold a line against the specification; gives its members."""
    assert len(line.encode()) <= MOST_BYTES
    members: dict[str, Any] = json.loads(line, parse_constant=pytest.fail)
    aws = members["_aws"]
    assert set(aws) == {"Timestamp", "CloudWatchMetrics"}
    assert type(aws["Timestamp"]) is int
    assert aws["CloudWatchMetrics"]
    for directive in aws["CloudWatchMetrics"]:
        assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
        _is_name(directive["Namespace"])
        assert directive["Dimensions"]
        for names in directive["Dimensions"]:
            assert len(names) == len(set(names)) <= 30
            for name in names:
                _is_name(name)
                _is_dimension_value(members[name])
        assert 1 <= len(directive["Metrics"]) <= 100
        metrics = [one["Name"] for one in directive["Metrics"]]
        assert len(metrics) == len(set(metrics))
        for one in directive["Metrics"]:
            assert set(one) <= {"Name", "Unit", "StorageResolution"}
            _is_name(one["Name"])
            assert one["Unit"] in UNITS
            _is_metric_value(members[one["Name"]])
    return members


def _is_name(name: Any) -> None:
    assert isinstance(name, str)
    assert 1 <= len(name) <= 255
    assert name.isascii()
    assert name.isprintable()
    assert name.strip()
    assert not name.startswith(":")


def _is_dimension_value(value: Any) -> None:
    assert isinstance(value, str)
    assert 1 <= len(value) <= 1024
    assert value.isascii()
    assert value.isprintable()
    assert value.strip()


def _is_metric_value(value: Any) -> None:
    values = value if isinstance(value, list) else [value]
    assert 1 <= len(values) <= 100
    for one in values:
        assert type(one) in {int, float}
        assert -(2.0**360) <= one <= 2.0**360


class Series(NamedTuple):
    """What CloudWatch tells apart: a name, and a set of dimensions with their values."""

    name: str
    dimensions: frozenset[tuple[str, str]]


class Read:
    """Lines as CloudWatch would take them in."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = [check(line) for line in lines]
        self.units: dict[str, str] = {}
        self.values: dict[Series, list[float]] = defaultdict(list)
        for members in self.lines:
            for directive in members["_aws"]["CloudWatchMetrics"]:
                self._extract(members, directive)

    def _extract(self, members: dict[str, Any], directive: dict[str, Any]) -> None:
        for metric in directive["Metrics"]:
            name, found = metric["Name"], members[metric["Name"]]
            assert self.units.setdefault(name, metric["Unit"]) == metric["Unit"]
            for names in directive["Dimensions"]:
                series = Series(name, frozenset((one, members[one]) for one in names))
                self.values[series] += found if isinstance(found, list) else [found]

    def of(self, name: str, **dimensions: str) -> list[float]:
        return self.values[Series(name, frozenset(dimensions.items()))]

    def total(self, name: str, **dimensions: str) -> float:
        return sum(self.of(name, **dimensions))


class Made:
    """The plugin by itself, writing to a file."""

    def __init__(self, root: Path, section: dict[str, Any]) -> None:
        self.clock = ManualClock()
        self.path = root / "metrics.log"
        app: Any = SimpleNamespace(clock=self.clock, settings=SimpleNamespace(root=root))
        settings = CloudWatchPlugin.Settings(**{"to": "metrics.log", **section})
        self.plugin = CloudWatchPlugin(settings, app)

    def read(self) -> Read:
        """Have it write, and read all lines."""
        self.plugin.streamer_on_flush()
        text = self.path.read_text("utf-8") if self.path.exists() else ""
        return Read(text.splitlines())


@pytest.fixture(autouse=True)
def _off_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)


@pytest.fixture
def read() -> Callable[[str], Read]:
    """Give a function that reads lines as CloudWatch would, each held against its rules."""
    return lambda text: Read(text.splitlines())


@pytest.fixture
def make(tmp_path: Path) -> Any:
    """Give a function that makes the plugin with settings."""
    return lambda **section: Made(tmp_path, section)
