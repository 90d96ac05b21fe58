"""Every extension point, in the order a message meets them.

Five families, told apart by how answers combine:

- **provide**: collected; a provider answers only to its own name, and two for one name are refused.
- **gate**: all are asked; any typed error refuses; None passes.
- **decide**: the first answer that is not None wins; the core's own comes last; a typed error means
  "mine, and no".
- **surround**: an onion around the core's own implementation (`wrapper=True` generators).
- **observe**: told afterwards, each by itself: one that fails is logged and silences nobody.

All hooks are plain functions, called in the order of the plugins' manifests.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from streamer_core.markers import hookspec
from streamer_core.model.call import Call, Health, Metric, Outgoing, Panel, Resource
from streamer_core.model.connection import Connection, Handshake
from streamer_core.model.counter import Count
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.message import Message, Mode
from streamer_core.model.policy import Verdict
from streamer_core.model.principal import Principal
from streamer_core.model.request import Failure, Request, Status
from streamer_core.model.update import Update
from streamer_core.ports import Change, Clock, Delivery, Store, Transport

# -- provide ---------------------------------------------------------------------------------------


@hookspec
def streamer_open_store(name: str, clock: Clock) -> Store | None:
    """Open the store of that name."""


@hookspec
def streamer_open_transport(name: str) -> Transport | None:
    """Open the transport of that name."""


@hookspec
def streamer_register_handlers() -> Iterable[Any]:
    """Bring handlers and topics: modules, or functions that carry a decorator."""


@hookspec
def streamer_register_commands(cli: Any) -> None:
    """Add commands to the `streamer` command line."""


@hookspec
def streamer_register_panels() -> Iterable[Panel]:
    """Bring tables for the console."""


@hookspec
def streamer_startup(app: Any) -> None:
    """Begin: everything is loaded, checked and open, and no message has come yet."""


@hookspec(firstresult=True)
def streamer_authenticate(handshake: Handshake) -> Principal | None:
    """Say who it is that connects, or that shows a new token on a live connection."""


@hookspec
def streamer_authorize(principal: Principal, verb: str, resource: Resource) -> None:
    """Refuse what the principal may not do, by raising."""


@hookspec
def streamer_limit(principal: Principal, connection: Connection, request: Message | None) -> None:
    """Refuse what comes too fast, by raising."""


@hookspec
def streamer_admit(
    principal: Principal, connection: Connection, request: Message | None
) -> Sequence[Count] | None:
    """Refuse what is over an agreed amount, by raising, or give counts to settle with it."""


@hookspec(firstresult=True)
def streamer_route(request: Message, handler: HandlerSpec) -> Mode | None:
    """Decide whether a request is answered at once or queued."""


@hookspec(firstresult=True)
def streamer_dispatch(change: Change) -> bool | None:
    """Wake a worker for a request that is due."""


@hookspec(firstresult=True)
def streamer_schedule(change: Change) -> bool | None:
    """See to it that a request is dispatched when it becomes due."""


@hookspec(firstresult=True)
def streamer_execute(call: Call) -> Any:
    """Run the handler and give what it returned."""


@hookspec(firstresult=True)
def streamer_circuit(name: str) -> AbstractContextManager[Any] | None:
    """Give the guard of a named dependency."""


@hookspec(firstresult=True)
def streamer_retry(request: Request, failure: Failure) -> Verdict | None:
    """Decide whether a failed attempt is followed by another, and when."""


@hookspec(firstresult=True)
def streamer_deliver(update: Outgoing, connection: str) -> Delivery:
    """Hand one message to the transport."""


@hookspec
def streamer_on_connect(connection: Connection) -> None:
    """Learn that a connection was accepted and stored."""


@hookspec
def streamer_on_disconnect(connection: Connection, reason: str) -> None:
    """Learn that a connection is gone."""


@hookspec
def streamer_on_request(request: Message, handler: HandlerSpec, mode: Mode) -> None:
    """Learn that a request passed the gates."""


@hookspec
def streamer_on_transition(request: Request, before: Status | None, after: Status) -> None:
    """Learn that a stored request moved."""


@hookspec
def streamer_on_update(request: Request, updates: Sequence[Update]) -> None:
    """Learn that updates were stored."""


@hookspec
def streamer_on_dead_letter(request: Request, failure: Failure) -> None:
    """Learn that a request failed for good."""


@hookspec
def streamer_on_circuit_change(name: str, before: str, after: str) -> None:
    """Learn that a circuit opened or closed."""


@hookspec
def streamer_on_metric(metric: Metric) -> None:
    """Take one measurement."""


@hookspec
def streamer_on_flush() -> None:
    """Send on what was gathered: this process may be frozen or ended after it."""


@hookspec
def streamer_health() -> Health | None:
    """Tell how you are."""


@hookspec
def streamer_shutdown(app: Any) -> None:
    """End: no message comes any more; the store is still open."""
