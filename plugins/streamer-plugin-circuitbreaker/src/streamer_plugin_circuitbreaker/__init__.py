"""Stop asking what is known to be failing: circuits of dependencies and of actions."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from streamer_core.plugin import Call, Health, Manifest, Panel, hookimpl
from streamer_plugin_circuitbreaker.circuits import Circuits
from streamer_plugin_circuitbreaker.settings import Book, Rules

__all__ = ["CircuitBreakerPlugin"]


class CircuitBreakerPlugin:
    """Guards `ctx.circuit(name)`, and the actions that the settings name."""

    Settings = Rules

    manifest = Manifest()

    def __init__(self, settings: Rules, app: Any) -> None:
        self.circuits = Circuits(Book.of(settings), app)
        self._app = app

    @hookimpl
    def streamer_startup(self, app: Any) -> None:
        """See that the settings are about actions that there are."""
        self.circuits.book.check(one.spec.action for one in app.registry)

    @hookimpl
    def streamer_circuit(self, name: str, deadline: int) -> AbstractContextManager[None]:
        """Give the guard of a dependency."""
        return self.circuits.of_dependency(name).guard(deadline)

    @hookimpl(trylast=True)
    def streamer_around_call(self, call: Call) -> AbstractContextManager[None] | None:
        """Guard an action that has a circuit; innermost, so that others see it refused."""
        circuit = self.circuits.of_action(call.handler.action)
        return circuit.guard(call.context.deadline) if circuit else None

    @hookimpl
    def streamer_on_flush(self) -> None:
        """Write what was seen and is not in the store yet."""
        self.circuits.flush()

    @hookimpl
    def streamer_health(self) -> Health:
        """Say which circuits are not closed: something that requests need is failing."""
        return self.circuits.health()

    @hookimpl
    def streamer_register_panels(self) -> Iterable[Panel]:
        """Show the circuits in the console."""
        return [Panel(name="circuits", title="Circuits", rows=self.circuits.rows)]

    @hookimpl
    def streamer_register_commands(self, cli: Any) -> None:
        """Add `streamer circuits`."""
        from streamer_plugin_circuitbreaker.command import circuits  # noqa: PLC0415 - click is an extra

        cli.add_command(circuits(self.circuits.book, self._app.settings))
