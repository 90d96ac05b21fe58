"""All circuits of one process, and those in the store as people see them."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamer_core.errors import ConfigurationError, StoreError
from streamer_core.plugin import Health
from streamer_plugin_circuitbreaker import window as windows
from streamer_plugin_circuitbreaker.circuit import Circuit
from streamer_plugin_circuitbreaker.kept import PREFIX, Kept, state_of
from streamer_plugin_circuitbreaker.settings import Book, Rules
from streamer_plugin_circuitbreaker.state import Phase, State

ACTION = "action:"
COLUMNS = ("circuit", "state", "why", "calls", "failed", "slow", "next")
_LONGEST_NAME = 100


class Circuits:
    """The circuits of a process.

    Args:
        book: their rules.
        app: the application.

    Raises:
        ConfigurationError: there are rules for a dependency that cannot be named so.
    """

    def __init__(self, book: Book, app: Any) -> None:
        for name in book.circuits:
            _check_table(name)
        self.book = book
        self._app = app
        self._known: dict[str, Circuit] = {}
        self._making = threading.Lock()
        self._of_actions: dict[str, Circuit | None] = {}

    def of_dependency(self, name: str) -> Circuit:
        """Give the circuit of a dependency.

        Raises:
            ValueError: the name is none.
        """
        known = self._known.get(name)
        return known or self._make(checked(name), self.book.of_dependency(name))

    def of_action(self, action: str) -> Circuit | None:
        """Give the circuit of an action, where it has one."""
        try:
            return self._of_actions[action]
        except KeyError:
            rules = self.book.of_action(action)
            made = self._make(ACTION + action, rules) if rules else None
            return self._of_actions.setdefault(action, made)

    def _make(self, name: str, rules: Rules) -> Circuit:
        with self._making:
            return self._known.setdefault(name, Circuit(name, rules, self._app))

    def flush(self) -> None:
        """Write what all have gathered."""
        for circuit in list(self._known.values()):
            circuit.flush()

    def rows(self) -> Sequence[dict[str, str]]:
        """Describe all that the store holds, for people."""
        now = self._app.clock.now()
        return [_row(one, now) for one in self.facts()]

    def facts(self) -> Sequence[dict[str, Any]]:
        """Describe all that the store holds, for scripts; times are Unix ms."""
        kept = self._app.store.all_values(PREFIX)
        return [self._facts(key.removeprefix(PREFIX), state_of(value)) for key, value in kept]

    def health(self) -> Health:
        """Tell which are not closed; where the store fails, calls pass, and nobody can tell."""
        try:
            rows = self.rows()
        except StoreError:
            detail = "the circuits cannot be read"
            return Health(name="circuits", ok=True, degraded=True, detail=detail)
        those = [f"{one['circuit']} {one['state']}" for one in rows if one["state"] != Phase.CLOSED]
        detail = ", ".join(those) or f"{len(rows)} closed"
        return Health(name="circuits", ok=True, degraded=bool(those), detail=detail)

    def _facts(self, name: str, state: State) -> dict[str, Any]:
        now = self._app.clock.now()
        rules = self._rules_of(name)
        window = windows.recent(state.window, now, rules.window)
        calls, failed, slow = windows.total(window)
        return {
            "circuit": name,
            "state": state.phase.value,
            "why": state.reason,
            "calls": calls,
            "failed": failed,
            "slow": slow,
            "since": state.since,
            "until": state.until,
            "by_hand": state.is_by_hand,
            "probes": len(state.alive(rules, now)),
            "passed": state.passed,
        }

    def switch(self, name: str, move: Callable[[State, int], State]) -> tuple[State, State]:
        """Make a person's move; gives the state before it and after it."""
        return Kept(name, self._app).move(lambda found: move(found, self._app.clock.now()))

    def _rules_of(self, name: str) -> Rules:
        if name.startswith(ACTION):
            return self.book.of_action(name.removeprefix(ACTION)) or self.book.usual
        return self.book.of_dependency(name)


def _check_table(name: str) -> None:
    where = f"[plugins.circuitbreaker.circuits.{name!r:.80}]"
    if name.startswith(ACTION):
        action = name.removeprefix(ACTION)
        raise ConfigurationError(
            f"{where} is about an action: write [plugins.circuitbreaker.actions.{action!r:.80}]"
        )
    try:
        checked(name)
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def checked(name: str) -> str:
    """Give a dependency's name.

    Raises:
        ValueError: it is empty or long, or means an action's circuit.
    """
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise ValueError(f"the name of a circuit has 1 to {_LONGEST_NAME} characters")
    if name.startswith(ACTION):
        raise ValueError(f"{ACTION}… are the circuits of actions; give the dependency another name")
    return name


def _row(facts: Mapping[str, Any], now: int) -> dict[str, str]:
    calls = facts["calls"]
    return {
        "circuit": facts["circuit"],
        "state": facts["state"],
        "why": facts["why"],
        "calls": str(calls),
        "failed": _share(facts["failed"], calls),
        "slow": _share(facts["slow"], calls),
        "next": _outlook(facts, now),
    }


def _share(part: int, calls: int) -> str:
    return f"{100 * part / calls:.0f} %" if calls else ""


def _outlook(facts: Mapping[str, Any], now: int) -> str:
    if facts["by_hand"]:
        return "until closed by hand"
    if facts["state"] == Phase.OPEN:
        return f"probed in {max(0, (facts['until'] or now) - now) / 1000:.0f} s"
    if facts["state"] == Phase.CLOSED:
        return ""
    return f"{facts['probes']} probes under way, {facts['passed']} went well"
