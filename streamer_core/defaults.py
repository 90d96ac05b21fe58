"""The core's own answers to the deciding and surrounding hooks, asked last.

A plugin like any other: it uses no door that another could not.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamer_core import coroutines
from streamer_core.errors import Forbidden
from streamer_core.markers import hookimpl
from streamer_core.model.call import Call, Push, Resource
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.message import Message, Mode
from streamer_core.model.policy import Again, GiveUp, Verdict
from streamer_core.model.principal import OPERATOR_SCOPE, PRIORITY_SCOPE, Principal
from streamer_core.model.request import Failure, Request
from streamer_core.ports import Clock, Delivery, Enqueued, Transport
from streamer_core.settings import CoreSettings

NAME = "core"
_MOST_DOUBLINGS = 40


class Defaults:
    """Scopes, routing by estimate, retry with full jitter, and what plugins surround itself."""

    def __init__(self, settings: CoreSettings, transport: Transport, clock: Clock) -> None:
        self._settings = settings
        self._transport = transport
        self._clock = clock

    @hookimpl(trylast=True)
    def streamer_authorize(self, principal: Principal, verb: str, resource: Resource) -> None:
        """Ask for a handler's scopes, and for scopes to jump the queue and to operate Streamer."""
        if verb == "call" and resource.handler is not None:
            missing = resource.handler.scopes - principal.scopes
            if missing:
                raise Forbidden(f"{resource.name} needs the scope {', '.join(sorted(missing))}")
        if verb == "priority" and not (principal.may(PRIORITY_SCOPE) or principal.is_admin):
            raise Forbidden(f"High priority needs the scope {PRIORITY_SCOPE}")
        if verb == "admin" and not principal.may(OPERATOR_SCOPE):
            raise Forbidden(f"{resource.name} needs the scope {OPERATOR_SCOPE}")

    @hookimpl(trylast=True)
    def streamer_enqueue(
        self, write: Callable[[], Sequence[Enqueued | Exception]]
    ) -> Sequence[Enqueued | Exception]:
        """Write them."""
        return write()

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
    def streamer_deliver(self, pushes: Sequence[Push]) -> Sequence[Mapping[str, Delivery]]:
        """Send them, in one call of the transport."""
        if len(pushes) == 1:
            (push,) = pushes
            return [self._transport.send_many(push.connections, push.message.data)]
        pairs = [(to, push.message.data) for push in pushes for to in push.connections]
        left = iter(self._transport.send_each(pairs))
        return [dict(zip(push.connections, left, strict=False)) for push in pushes]
