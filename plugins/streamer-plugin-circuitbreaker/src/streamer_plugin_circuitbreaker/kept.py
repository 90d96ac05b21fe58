"""A circuit's state in the store: read, moved, and written where nobody was faster."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from streamer_core.errors import Conflict
from streamer_core.ports import Value
from streamer_plugin_circuitbreaker.state import Phase, State

PREFIX = "circuit/of/"
"""Whatever follows it, a key is not one that `tenant_key` made: a circuit is everybody's."""

_TRIES = 5
_KEEP_MS = 86_400_000
_METRIC = "circuitbreaker.changed"


class Kept:
    """One circuit in the store. Not to be used by two threads at once.

    Args:
        name: the circuit's.
        app: whose store it is in, and whose observers are told of changes.
    """

    def __init__(self, name: str, app: Any) -> None:
        self._name = name
        self._app = app
        self._in_doubt: tuple[Phase, State] | None = None

    def move(self, move: Callable[[State], State]) -> tuple[State, State]:
        """Make a move from whatever state it is in; gives the state before it and after it.

        It costs a read, and a write where it changes anything.

        Raises:
            Conflict: others were faster, again and again; nothing was written.
            StoreError: the store failed; whether it was written is not known.
        """
        for _ in range(_TRIES):
            found = self._app.store.get_value(PREFIX + self._name)
            before = state_of(found)
            self._settle_doubt(before)
            after = move(before)
            if after is before:
                return before, before
            if after.phase is not before.phase:
                after = replace(after, writer=self._app.clock.new_id())
                self._in_doubt = before.phase, after
            try:
                self._write(after, found)
            except Conflict:
                continue
            self._settle_doubt(after)
            return before, after
        raise Conflict(f"circuit {self._name!r} was written by others each time")

    def _write(self, state: State, over: Value | None) -> None:
        now = self._app.clock.now()
        self._app.store.put_value(
            PREFIX + self._name,
            state.to_plain(),
            expires_at=now + _KEEP_MS if state.phase is Phase.CLOSED else None,
            version=over.version if over else 0,
        )

    def _settle_doubt(self, state: State) -> None:
        """Tell of this process's change where the store shows that it took place.

        A write whose answer was lost is found out about at the next look.
        """
        doubt, self._in_doubt = self._in_doubt, None
        if doubt is None or doubt[1].writer != state.writer:
            return
        before, after = doubt[0].value, doubt[1].phase.value
        runtime = self._app.runtime
        runtime.log.warning(
            "circuit changed", circuit=self._name, before=before, after=after, why=state.reason
        )
        runtime.tell("streamer_on_circuit_change", name=self._name, before=before, after=after)
        runtime.measure(_METRIC, tags={"circuit": self._name, "state": after})


def state_of(value: Value | None) -> State:
    """Give the state that a value of the store holds; of none, a closed one's."""
    return State.from_plain(value.data) if value else State()
