"""The section, and the rules that it makes for each circuit."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import field, fields, replace
from fnmatch import fnmatchcase
from typing import Any

from streamer_core.errors import ConfigurationError
from streamer_core.plugin import Ms, record
from streamer_core.sections import validate_section

_TABLES = ("circuits", "actions")
_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_BOUNDS_MS = {
    "window": (10_000, 3_600_000),
    "interval": (100, 10_000),
    "open_for": (100, 86_400_000),
    "probe_lapse": (100, 86_400_000),
    "slow_after": (1, 86_400_000),
}


@record
class Rules:
    """`[plugins.circuitbreaker]`, and what holds for one circuit: the same without the tables.

    Args:
        failure_rate: which share of the calls must fail to open it, above 0 and up to 1.
        slow_after: a call that takes longer is slow; left out: none is.
        slow_rate: which share of the calls must be slow to open it.
        window: over which time the calls are counted.
        minimum_calls: with fewer in the window it does not open.
        open_for: how long it stays open before it is probed.
        probes: how many calls at once may probe it, and how many must go well to close it.
        probe_lapse: after what time a probe that nobody heard of again makes room for another.
        interval: how long a process goes by what it has read, and gathers what it has seen.
        errors: which exceptions are failures: names of classes, or of classes they come from.
        ignored_errors: which of those are none.
        circuits: rules of dependencies: a table for each name, or pattern of names.
        actions: rules of actions that have a circuit: a table for each action, or pattern.
    """

    failure_rate: float = 0.5
    slow_after: Ms | None = None
    slow_rate: float = 0.8
    window: Ms = 30_000
    minimum_calls: int = 20
    open_for: Ms = 30_000
    probes: int = 3
    probe_lapse: Ms = 60_000
    interval: Ms = 1_000
    errors: tuple[str, ...] = ("Exception",)
    ignored_errors: tuple[str, ...] = ()
    circuits: dict[str, dict[str, Any]] = field(default_factory=dict)
    actions: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("failure_rate", "slow_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name}: must be more than 0 and at most 1, as in 0.5")
        for name in ("minimum_calls", "probes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1")
        for name, (least, most) in _BOUNDS_MS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ValueError(f"{name}: must be from {least / 1000:g} to {most / 1000:g} s")
        for name in ("errors", "ignored_errors"):
            for one in getattr(self, name):
                if not _CLASS.fullmatch(one):
                    raise ValueError(f'{name}: {one!r} names no class; write "TimeoutError"')


@record
class Book:
    """All rules, checked: those of dependencies, and of the actions that have a circuit."""

    usual: Rules
    circuits: Mapping[str, Rules]
    actions: Mapping[str, Rules]

    @classmethod
    def of(cls, section: Rules) -> "Book":
        """Put the tables' settings over those of the section.

        Raises:
            ConfigurationError: names the table, and what is wrong in it.
        """
        usual = replace(section, circuits={}, actions={})
        circuits, actions = (
            {
                name: _over(usual, table, f"[plugins.circuitbreaker.{kind}.{name!r}]")
                for name, table in getattr(section, kind).items()
            }
            for kind in _TABLES
        )
        return cls(usual=usual, circuits=circuits, actions=actions)

    def of_dependency(self, name: str) -> Rules:
        """Give the rules of a dependency."""
        return _best(self.circuits, name) or self.usual

    def of_action(self, action: str) -> Rules | None:
        """Give the rules of an action; None where it has no circuit."""
        return _best(self.actions, action)

    def check(self, actions: Iterable[str]) -> None:
        """See that each table is about an action that there is.

        Raises:
            ConfigurationError: names the table.
        """
        known = sorted(actions)
        for pattern in self.actions:
            if known and not any(fnmatchcase(action, pattern) for action in known):
                raise ConfigurationError(
                    f"[plugins.circuitbreaker.actions.{pattern!r}] is about no action; "
                    f"there are: {', '.join(known)}"
                )


def _over(usual: Rules, table: Mapping[str, Any], where: str) -> Rules:
    for name in _TABLES:
        if name in table:
            raise ConfigurationError(f"{where} {name}: there are no tables in this one")
    own = validate_section(Rules, table, where)
    return replace(
        usual, **{one.name: getattr(own, one.name) for one in fields(own) if one.name in table}
    )


def _best(rules: Mapping[str, Rules], name: str) -> Rules | None:
    """Find the rules of exactly that name, else of the longest pattern that it fits."""
    fitting = [pattern for pattern in rules if fnmatchcase(name, pattern)]
    best = name if name in rules else max(fitting, key=len, default=None)
    return None if best is None else rules[best]
