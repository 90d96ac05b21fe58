"""How fast and how much."""

from collections.abc import Sequence

from streamer_core.markers import hookspec
from streamer_core.model.connection import Connection
from streamer_core.model.counter import Count
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.message import Message, Mode
from streamer_core.model.principal import Principal


@hookspec
def streamer_limit(principal: Principal, connection: Connection, request: Message | None) -> None:
    """Refuse what comes too fast, by raising.

    Called: once for each connection, authenticated and not yet stored; once for each message,
    before anything else is asked about it. What cannot be decoded, or has an action that nobody
    knows, comes with the action `NO_ACTION`: its own error follows where it may pass.
    Answers (gate): every plugin is asked until one raises; those before it have counted already.
    None: let it pass.

    Args:
        principal: who sends.
        connection: where it comes from; at connecting, as it would be stored.
        request: the message, `size` bytes long; None for a connection. Where it could not be
            decoded, its size is all that is known of it.

    Raises:
        RateLimited: with `retry_after_ms` where it is known: 429 for a connection, else the
            client's `error`, after which `close` ends the connection. Other Refused likewise; any
            other error is logged and refuses with `INTERNAL_ERROR`, a StoreError with
            `STORAGE_ERROR`: catch it to let pass.

    Blocks: one round trip to the store at most.

    Example:
        ```python
        from streamer_core.errors import RateLimited
        from streamer_core.markers import hookimpl
        from streamer_core.model.counter import Count
        from streamer_core.model.ids import tenant_key

        class TenASecondPlugin:
            def __init__(self, settings, app):
                self.app = app

            @hookimpl
            def streamer_limit(self, principal):
                key = tenant_key("ten", principal.tenant, principal.user)
                taken = self.app.store.count([Count(key=key, limit=10, refill_per_s=10)])
                if not taken.accepted:
                    raise RateLimited("Too many messages", retry_after_ms=taken.retry_after_ms)
        ```

    Added in 0.1. Implemented by: jwt (revoked tokens), ratelimit, tenancy.
    """


@hookspec
def streamer_admit(
    principal: Principal,
    connection: Connection,
    request: Message | None,
    handler: HandlerSpec | None,
    mode: Mode | None,
) -> Sequence[Count] | None:
    """Refuse what is over an agreed amount, by raising, or give counts to settle with it.

    Called: once for each connection, after `streamer_limit`; once for each request of a handler,
    the payload valid, after `streamer_route`. Repeats of a stored request are asked for too.
    Answers (gate): every plugin is asked until one raises; all counts are gathered. None: nothing
    against it, nothing to count.

    Args:
        principal: who sends.
        connection: where it comes from.
        request, handler, mode: the message, its handler's specification, how it will be answered;
            stored where that is async or the handler idempotent. None for a connection.

    Returns:
        Counts, their keys as of `tenant_key`. Those that `settles` are applied once, by the write
        that ends the request or forgets the connection: those below zero, and those `per` second,
        update or byte put out. The others are taken in the write that stores it: all have room, or
        nothing is stored and the client gets `QUOTA_EXCEEDED`; a repeat takes nothing. For a
        request that is not stored they are applied before it runs and at its end: a crash in
        between leaves the first. For a connection at least one is to be taken, or none settles.

    Raises:
        QuotaExceeded, or another Refused: 429 for a connection, else the client's `error`. Any
            other error is logged and refuses with `INTERNAL_ERROR`.

    Blocks: one round trip to the store at most; better none, by giving counts.

    Example:
        ```python
        from streamer_core.markers import hookimpl
        from streamer_core.model.counter import Count
        from streamer_core.model.ids import tenant_key

        class FiveAtOncePlugin:              # at most five unfinished requests a user
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_admit(self, principal, request):
                if request is None:
                    return None
                key = tenant_key("open", principal.tenant, principal.user)
                return [Count(key=key, limit=5), Count(key=key, amount=-1)]
        ```

    Added in 0.1. Implemented by: tenancy (quotas, usage).
    """
