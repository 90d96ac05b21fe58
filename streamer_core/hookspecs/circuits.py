"""Guards of what a handler depends on."""

from contextlib import AbstractContextManager
from typing import Any

from streamer_core.markers import hookspec


@hookspec(firstresult=True)
def streamer_circuit(name: str, deadline: int) -> AbstractContextManager[Any] | None:
    """Give the guard of a named dependency.

    Called: each time a handler writes `ctx.circuit(name)`, in its thread.
    Answers (decide): the first guard wins. None: not mine. Nobody's: nothing is guarded.

    Args:
        name: the handler's word for the dependency, `ledger` or `smtp`.
        deadline: Unix ms at which the handler times out; a use that lasts longer has failed.

    Returns:
        A context manager. Entered before the dependency is used; its exit sees how that ended. It
        must let exceptions pass.

    Raises:
        CircuitOpen: on entering: the dependency is known to be failing. An async request then waits
            `retry_after_ms` (else 5 s) without an attempt spent; a sync one is answered
            `CIRCUIT_OPEN`. Any other error is the handler's failure.

    Blocks: one round trip to the store at most, on entering and on leaving.

    Example:
        ```python
        from contextlib import contextmanager
        from streamer_core.errors import CircuitOpen
        from streamer_core.markers import hookimpl

        class ThreeStrikesPlugin:
            def __init__(self, settings, app):
                self.strikes = {}

            @contextmanager
            def guard(self, name):
                if self.strikes.get(name, 0) >= 3:
                    raise CircuitOpen(f"{name} is failing", retry_after_ms=30_000)
                try:
                    yield
                except Exception:
                    self.strikes[name] = self.strikes.get(name, 0) + 1
                    raise
                self.strikes[name] = 0

            @hookimpl
            def streamer_circuit(self, name):
                return self.guard(name)
        ```

    Added in 0.1. Implemented by: circuitbreaker.
    """


@hookspec
def streamer_on_circuit_change(name: str, before: str, after: str) -> None:
    """Learn that a circuit opened or closed.

    Called: by the plugin that keeps the circuits, once for each change, with
    `app.runtime.tell("streamer_on_circuit_change", name=…, before=…, after=…)`. The core keeps none
    and never calls it.
    Answers (observe): all are told; what they give back is ignored.

    Args:
        name: the dependency, as in `ctx.circuit(name)`; for an action's own `action:` and its name.
        before, after: `closed`, `open` or `half_open`.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: must not: a handler is waiting to go on.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class OpenCircuits:
            def __init__(self, settings, app):
                self.open = set()

            @hookimpl
            def streamer_on_circuit_change(self, name, before, after):
                (self.open.add if after == "open" else self.open.discard)(name)
        ```

    Added in 0.1. Implemented by: cloudwatch (counts them).
    """
