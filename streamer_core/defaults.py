"""The core's own answers to the deciding and surrounding hooks, asked last.

A plugin like any other: it uses no door that another could not.
"""

from typing import Any

from streamer_core import coroutines
from streamer_core.errors import Forbidden
from streamer_core.markers import hookimpl
from streamer_core.model.call import Call, Outgoing, Resource
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.message import Message, Mode
from streamer_core.model.policy import Again, GiveUp, Verdict
from streamer_core.model.principal import PRIORITY_SCOPE, Principal
from streamer_core.model.request import Failure, Request
from streamer_core.ports import Clock, Delivery, Transport
from streamer_core.settings import CoreSettings

NAME = "core"
_MOST_DOUBLINGS = 40


class Defaults:
    """Scopes, routing by estimate, retry with full jitter, the call itself, the send itself."""

    def __init__(self, settings: CoreSettings, transport: Transport, clock: Clock) -> None:
        self._settings = settings
        self._transport = transport
        self._clock = clock

    @hookimpl(trylast=True)
    def streamer_authorize(self, principal: Principal, verb: str, resource: Resource) -> None:
        """Ask for a handler's scopes, and for a scope to jump the queue."""
        if verb == "call" and resource.handler is not None:
            missing = resource.handler.scopes - principal.scopes
            if missing:
                raise Forbidden(f"{resource.name} needs the scope {', '.join(sorted(missing))}")
        if verb == "priority" and not (principal.may(PRIORITY_SCOPE) or principal.is_admin):
            raise Forbidden(f"High priority needs the scope {PRIORITY_SCOPE}")

    @hookimpl(trylast=True)
    def streamer_route(self, request: Message, handler: HandlerSpec) -> Mode:
        """Follow the client's wish, then the handler's, then its estimate."""
        if request.options.mode is not Mode.AUTO:
            return request.options.mode
        if request.options.delay_ms:
            return Mode.ASYNC
        if handler.mode is not Mode.AUTO:
            return handler.mode
        return Mode.ASYNC if handler.estimated_ms > self._settings.async_threshold else Mode.SYNC

    @hookimpl(trylast=True)
    def streamer_execute(self, call: Call) -> Any:
        """Call the handler; an `async def` runs to its end on this thread's own event loop."""
        call.on_enter()
        given = {"payload": call.payload, "context": call.context, "principal": call.principal}
        arguments = {name: given[what] for name, what in call.handler.bindings.items()}
        result = call.handler.call(**arguments)
        return coroutines.run(result, call.on_stop) if call.handler.is_async else result

    @hookimpl(trylast=True)
    def streamer_retry(self, request: Request, failure: Failure) -> Verdict:
        """Back off exponentially with full jitter, within the policy's attempts and age."""
        policy = request.policy
        if not failure.retryable or failure.attempt >= policy.max_attempts:
            return GiveUp()
        # A larger exponent only makes a larger number: every cap is reached long before.
        doublings = min(failure.attempt - 1, _MOST_DOUBLINGS)
        longest = min(policy.backoff_cap_ms, policy.backoff_ms * 2**doublings)
        delay_ms = round(self._clock.random() * longest)
        began = request.started_at or request.created_at
        too_old = self._clock.now() + delay_ms - began > policy.max_age_ms
        return GiveUp() if too_old else Again(delay_ms=delay_ms)

    @hookimpl(trylast=True)
    def streamer_deliver(self, update: Outgoing, connection: str) -> Delivery:
        """Send it."""
        return self._transport.send(connection, update.data)
