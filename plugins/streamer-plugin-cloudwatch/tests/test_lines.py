"""What is measured is what CloudWatch reads, whatever is measured."""

import math
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from streamer_core.model.call import Metric
from tests.unit.every_path import rig_of, walk


def take(made: Any, name: str, value: float = 1, unit: str = "count", **tags: str) -> None:
    made.plugin.streamer_on_metric(Metric(name=name, value=value, unit=unit, tags=tags))


def test_counters_add_up_and_gauges_do_not(make: Any) -> None:
    made = make()
    for value in (1, 2, 4):
        take(made, "some.count", value)
        take(made, "some.gauge", value, "gauge")
        take(made, "some.odd", value, "parsec")
    read = made.read()
    assert read.of("some.count") == [7]
    assert read.of("some.gauge") == [4]
    assert read.of("some.odd") == [1, 2, 4]
    assert read.units == {"some.count": "Count", "some.gauge": "None", "some.odd": "None"}


def test_bytes_are_counted_and_added_up(make: Any) -> None:
    made = make()
    take(made, "message", 100, "bytes")
    made.plugin.streamer_on_metric(Metric(name="message", value=600, unit="bytes", times=3))
    read = made.read()
    assert (read.of("message"), read.of("message.bytes")) == ([4], [700])
    assert read.units == {"message": "Count", "message.bytes": "Bytes"}


def test_times_are_written_each(make: Any) -> None:
    made = make()
    for value in range(250):
        take(made, "some.time", value / 7, "ms")
    read = made.read()
    assert sorted(read.of("some.time")) == [round(value / 7, 3) for value in range(250)]
    assert read.units == {"some.time": "Milliseconds"}
    assert len(read.lines) == 3


def test_of_very_many_times_a_fair_sample_is_written_with_the_greatest(make: Any) -> None:
    made = make()
    for value in range(100_000):
        take(made, "some.time", 99_999 if value == 5 else value % 1000, "ms")
    kept = sorted(made.read().of("some.time"))
    assert 400 <= len(kept) <= 1_000
    assert kept[-1] == 99_999
    assert kept[len(kept) // 2] == pytest.approx(500, abs=30)
    assert kept[int(len(kept) * 0.99)] == pytest.approx(990, abs=15)


def test_nothing_is_written_twice_or_for_nothing(make: Any) -> None:
    made = make()
    assert made.read().lines == []
    take(made, "some.count")
    assert made.read().total("some.count") == 1
    assert made.read().total("some.count") == 1


def test_a_metric_is_added_up_in_total_by_each_tag_and_by_all(make: Any) -> None:
    made = make()
    for action, outcome in (("a", "ok"), ("a", "no"), ("b", "ok")):
        take(made, "ended", action=action, outcome=outcome)
    read = made.read()
    assert read.of("ended") == [1, 1, 1]
    assert read.total("ended", action="a") == 2
    assert read.total("ended", outcome="ok") == 2
    assert read.total("ended", action="b", outcome="ok") == 1


def test_tenants_and_users_are_properties(make: Any) -> None:
    made = make()
    take(made, "ended", action="a", tenant="acme", user="ann")
    take(made, "ended", action="a", tenant="beta", user="bob")
    read = made.read()
    assert {line["tenant"] for line in read.lines} == {"acme", "beta"}
    assert {line["user"] for line in read.lines} == {"ann", "bob"}
    assert {key for series in read.values for key, _ in series.dimensions} == {"action"}
    assert read.total("ended", action="a") == 2


def test_they_are_dimensions_where_that_is_asked_for(make: Any) -> None:
    made = make(dimensions=("tenant",))
    take(made, "ended", action="a", tenant="acme", user="ann")
    read = made.read()
    assert read.total("ended", tenant="acme") == 1
    assert read.total("ended", tenant="acme", action="a") == 1
    assert "user" not in {key for series in read.values for key, _ in series.dimensions}


def test_whoever_asks_gets_what_the_engine_measures_by_tenant(make: Any) -> None:
    made = make(dimensions=("tenant",))
    walk(rig_of(made.plugin))
    read = made.read()
    for name in ("message.received", "request.ended", "request.dead_lettered", "message.refused"):
        assert read.total(name, tenant="acme") == read.total(name) > 0, name
    assert read.of("request.executed", tenant="acme") == read.of("request.executed")
    assert read.of("connection.stored") == [2], "what is nobody's is measured, too"
    assert not read.of("connection.stored", tenant="acme")
    assert "ann" not in made.path.read_text("utf-8")


def test_or_has_their_names_in_its_lines(make: Any) -> None:
    made = make(properties=("tenant",))
    walk(rig_of(made.plugin))
    read = made.read()
    assert {line["tenant"] for line in read.lines if "request.executed" in line} == {"acme"}
    assert "tenant" not in {key for series in read.values for key, _ in series.dimensions}


def test_values_beyond_the_bound_are_other_for_good(make: Any) -> None:
    made = make(most_values=3)
    for _ in range(2):  # what was let in stays, also after a write
        for n in reversed(range(1000)):
            take(made, "refused", code=f"C{n}")
    read = made.read()
    take(made, "refused", code="C0")
    read = made.read()
    found = {value for series in read.values for _, value in series.dimensions}
    assert found == {"C999", "C998", "C997", "other"}
    assert read.total("refused") == 2001
    assert read.total("refused", code="other") == 2000 - 6 + 1


def test_memory_is_bounded_whatever_is_measured(make: Any) -> None:
    made = make(most_values=1000)
    for n in range(5_000):
        tags = {"tag": f"v{n}", f"tag{n}": "x"}
        made.plugin.streamer_on_metric(Metric(name=f"name.{n}", tags=tags))
    read = made.read()
    assert len({series.name for series in read.values}) == 2_001
    assert read.total("metrics.dropped") == 3_000
    take(made, "name.4999")
    assert made.read().total("name.4999") == 1, "there is room again after a write"


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, 1e200, 10**400, "text", None, Decimal(2)]
)
def test_what_is_no_number_of_cloudwatchs_is_dropped_and_counted(make: Any, value: Any) -> None:
    made = make()
    take(made, "some.time", 2.5, "ms")
    take(made, "some.time", value, "ms")
    take(made, "some.time", 3, "ms")
    take(made, "another.time", value, "ms")
    read = made.read()
    assert read.of("some.time") == [2.5, 3]
    assert read.of("another.time") == []
    assert read.total("metrics.dropped") == 2


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("", {"tag": ""}),
        ("x" * 1000, {"tag": "y" * 5000}),
        ("ä🦆\n", {"tag": "🦆\x00\x7f ", "größe": "x"}),
        ("same", {"same": "x"}),
        ("same", {"same.bytes": "x", "tag": "y"}),
        ("_aws", {"_aws": "x"}),
        (":odd", {":odd": ":odd"}),
        ("many", {f"t{n}": "x" for n in range(40)}),
        ("   ", {" ": " "}),
    ],
)
def test_any_name_and_any_tag_make_a_line(make: Any, name: str, tags: dict[str, str]) -> None:
    made = make()
    made.plugin.streamer_on_metric(Metric(name=name, value=5, unit="bytes", tags=tags))
    (members,) = made.read().lines
    assert {1, 5} <= {one for one in members.values() if isinstance(one, int)}


@pytest.mark.parametrize(
    ("one", "other"),
    [("日本", "中国"), ("ä", "%C3%A4"), (":a", "a"), ("_a", "a"), ("a\n", "a\t"), ("\ud800", "?")]
    + [("x" * 300 + end, "x" * 300 + "c") for end in "ab"],
)
def test_different_ones_stay_different(make: Any, one: str, other: str) -> None:
    made = make()
    for name in (one, other):
        take(made, "ended", action=name, tenant=name)
        take(made, name)
    read = made.read()
    assert len({line["tenant"] for line in read.lines if "tenant" in line}) == 2
    found = [values for series, values in read.values.items() if series.dimensions]
    assert found == [[1], [1]]
    assert len({series.name for series in read.values}) == 3


def test_a_name_in_two_units_is_in_two_lines(make: Any) -> None:
    made = make()
    take(made, "odd", 1, "count")
    take(made, "odd", 2, "ms")
    made.plugin.streamer_on_flush()
    assert len(made.path.read_text().splitlines()) == 2


def test_the_largest_lines_are_within_an_event(make: Any) -> None:
    made = make()
    for n in range(150):
        for _ in range(110):
            take(made, f"{n:03}" + "n" * 246, 1.0 / 3e100, "ms", tag="v" * 255)
    read = made.read()
    assert len({series.name for series in read.values}) == 150
    assert all(len(values) == 110 for values in read.values.values())


def test_threads_lose_nothing(make: Any) -> None:
    made = make()
    together = threading.Barrier(4)

    def measure() -> None:
        together.wait(10)
        for _ in range(2_000):
            take(made, "some.count")
            take(made, "some.time", 1, "ms")

    threads = [threading.Thread(target=measure) for _ in range(4)]
    for one in threads:
        one.start()
    while any(one.is_alive() for one in threads):
        made.plugin.streamer_on_flush()
    for one in threads:
        one.join(10)
    assert made.read().total("some.count") == 8_000


def test_a_circuit_that_changes_is_counted(make: Any) -> None:
    made = make()
    made.plugin.streamer_on_circuit_change("ledger", "open")
    assert made.read().total("circuit.change", circuit="ledger", state="open") == 1


def test_every_path_of_the_engine_makes_lines(make: Any) -> None:
    made = make()
    rig = rig_of(made.plugin)
    walk(rig)
    read = made.read()
    measured: list[Metric] = [told["metric"] for told in rig.seen.of("metric")]
    in_bytes = {f"{one.name}.bytes" for one in measured if one.unit == "bytes"}
    assert {series.name for series in read.values} == {one.name for one in measured} | in_bytes
    for name in {one.name for one in measured}:
        those = [one for one in measured if one.name == name]
        match those[0].unit:
            case "count":
                assert read.total(name) == sum(one.value for one in those), name
            case "bytes":
                assert read.total(name) == sum(one.times for one in those), name
                assert read.total(f"{name}.bytes") == sum(one.value for one in those), name
            case "ms":
                assert len(read.of(name)) == len(those), name
    assert len(read.of("request.answered")) == 3
    assert read.total("message.refused", code="RATE_LIMITED") == 1
    assert {line["_aws"]["Timestamp"] for line in read.lines} == {made.clock.now()}


def test_no_line_names_anybody(make: Any, tmp_path: Path) -> None:
    made = make()
    walk(rig_of(made.plugin))
    made.read()
    text = made.path.read_text("utf-8")
    assert not [word for word in ("acme", '"ann"', "any text of a client") if word in text]
