"""The section: what it makes of each circuit, and what it says where it is wrong."""

from typing import Any

import pytest
from streamer_plugin_circuitbreaker.settings import Book, Rules

from streamer_core import Settings, Streamer, handler
from streamer_core.errors import ConfigurationError
from streamer_core.handlers import declared
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport


def start(section: dict[str, Any]) -> Streamer:
    clock = ManualClock()
    return Streamer(
        Settings.of({"plugins": ["circuitbreaker"]}, {"circuitbreaker": section}),
        store=MemoryStore(clock),
        transport=MemoryTransport(),
        clock=clock,
        load_handlers=False,
    )


def book(section: dict[str, Any]) -> Book:
    with start(section) as app:
        plugin: Any = app.hooks.get_plugin("circuitbreaker")
        made: Book = plugin.circuits.book
        return made


def test_a_table_goes_over_the_section_and_the_section_over_the_defaults() -> None:
    rules = book(
        {
            "open_for": "10s",
            "probes": 5,
            "circuits": {"ledger": {"open_for": "2m", "errors": ["OSError"]}},
        }
    )
    ledger, other = rules.of_dependency("ledger"), rules.of_dependency("smtp")
    assert (ledger.open_for, ledger.probes, ledger.errors) == (120_000, 5, ("OSError",))
    assert (other.open_for, other.probes, other.errors) == (10_000, 5, ("Exception",))
    assert other.window == Rules().window == 30_000


def test_whole_numbers_and_durations_in_seconds_will_do() -> None:
    rules = book({"failure_rate": 1, "circuits": {"ledger": {"slow_rate": 1, "open_for": 5}}})
    ledger = rules.of_dependency("ledger")
    assert (ledger.failure_rate, ledger.slow_rate, ledger.open_for) == (1.0, 1.0, 5_000)


def test_the_environment_sets_a_circuits_rules() -> None:
    name = "STREAMER_PLUGINS__CIRCUITBREAKER__CIRCUITS__LEDGER__PROBES"
    section = Settings.load(environ={name: "7"}).plugins["circuitbreaker"]
    assert book(dict(section)).of_dependency("ledger").probes == 7


def test_the_closest_table_is_taken() -> None:
    rules = book(
        {
            "circuits": {"*": {"probes": 1}, "mail-*": {"probes": 2}, "mail-eu": {"probes": 3}},
            "actions": {"report.*": {"probes": 4}, "report.month*": {"probes": 5}},
        }
    )
    wanted = {"x": 1, "mail-us": 2, "mail-eu": 3}
    assert {name: rules.of_dependency(name).probes for name in wanted} == wanted
    of_actions = {name: rules.of_action(name) for name in ("report.day", "report.months", "other")}
    assert [one and one.probes for one in of_actions.values()] == [4, 5, None]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"open_fro": "1s"}, r"open_fro: there is no such setting; did you mean 'open_for'"),
    ({"failure_rate": 50}, "failure_rate: must be more than 0 and at most 1"),
    ({"slow_rate": 0}, "slow_rate: must be more than 0"),
    ({"minimum_calls": 0}, "minimum_calls: must be at least 1"),
    ({"probes": 0}, "probes: must be at least 1"),
    ({"window": "1s"}, "window: must be from 10 to 3600 s"),
    ({"interval": "1m"}, "interval: must be from 0.1 to 10 s"),
    ({"open_for": "soon"}, "open_for: "),
    ({"errors": ["not a class"]}, "errors: 'not a class' names no class"),
    ({"errors": "OSError"}, r"errors: write a list, as in errors = \[\"…\"\]"),
    ({"circuits": {"ledger": 5}}, "circuits.ledger: "),
    (
        {"circuits": {"ledger": {"probse": 1}}},
        r"\[plugins.circuitbreaker.circuits.'ledger'\] probse: .* mean 'probes'",
    ),
    (
        {"circuits": {"action:pay": {}}},
        r"is about an action: write \[plugins.circuitbreaker.actions.'pay'\]",
    ),
    ({"circuits": {"": {}}}, r"circuits.''\]: the name of a circuit has 1 to 100 characters"),
    ({"circuits": {"a" * 101: {}}}, "the name of a circuit has 1 to 100 characters"),
    ({"actions": {"a": {"probes": 0}}}, r"actions.'a'\] probes: must be at least 1"),
    ({"actions": {"a": {"circuits": {}}}}, r"actions.'a'\] circuits: there are no tables"),
]


@pytest.mark.parametrize(("section", "says"), WRONG)
def test_what_is_wrong_stops_the_start(section: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        start(section)


@handler("report.day")
def report() -> None:
    """Do nothing."""


def test_a_table_about_no_action_stops_the_start() -> None:
    app = start({"actions": {"reprot.*": {}}})
    app.registry.add(declared(report)[0])
    with pytest.raises(ConfigurationError, match=r"'reprot\.\*'\] is about no action.*report\.day"):
        app.hooks.hook.streamer_startup(app=app)
    app.close()


def test_where_no_handlers_are_loaded_nobody_can_tell() -> None:
    app = start({"actions": {"reprot.*": {}}})
    app.hooks.hook.streamer_startup(app=app)
    app.close()
