"""Who it is that asks, and what they may do."""

from streamer_core.markers import hookspec
from streamer_core.model.call import Resource
from streamer_core.model.connection import Handshake
from streamer_core.model.principal import Principal


@hookspec(firstresult=True)
def streamer_authenticate(handshake: Handshake) -> Principal | None:
    """Say who it is that connects, or that shows a new token on a live connection.

    Called: once for each connection, first of all; and once for each `streamer.authenticate`, where
    `handshake.renewing` is the principal in force and only token, id and address are set.
    Answers (decide): the first principal wins. None: not mine, ask the next; nobody's: 401. A
    principal that has expired is 401 too. A renewal may not change user or tenant. A start of a
    process with handlers is refused where no plugin has this hook.

    Args:
        handshake: connection id, bearer token as found, headers (lower case), query, address. It
            is all the client's word.

    Returns:
        The principal. Requests, ids and topics belong to its tenant and user from here on.

    Raises:
        Unauthorized, Forbidden, RateLimited, Unavailable: mine, and no: HTTP 401, 403, 429, 503
            before the upgrade; on renewal an `error` message. Any other error is logged, and
            refuses with 503, on renewal with `INTERNAL_ERROR`.

    Blocks: may, while the client waits: aim for under 100 ms, cache keys, bound every fetch.

    Example:
        ```python
        import hmac
        from streamer_core.errors import Unauthorized
        from streamer_core.markers import hookimpl
        from streamer_core.model.principal import Principal

        class OneKeyPlugin:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_authenticate(self, handshake):
                if handshake.token is None or not handshake.token.startswith("key-"):
                    return None
                if not hmac.compare_digest(handshake.token.encode(), b"key-of-ada"):
                    raise Unauthorized("The key is not known")
                return Principal(user="ada", scopes=frozenset({"reports"}))
        ```

    Added in 0.1. Implemented by: jwt, local (without another authenticator, on
    loopback).
    """


@hookspec
def streamer_authorize(principal: Principal, verb: str, resource: Resource) -> None:
    """Refuse what the principal may not do, by raising.

    Called: before each of these verbs, once where nothing else is said:

    - `call`: a handler's action; also for every handler when a client lists `streamer.actions`;
    - `priority`: besides `call`, where the client asks for `high`;
    - `status`, `cancel`, `resume`, `subscribe`: a stored request, once it is known to be the
      principal's own or its tenant's admin's; twice for the last two;
    - `subscribe`, `publish`: a topic, once its rule has let a subscriber in;
    - `admin`: the details of `streamer.health`, for whoever operates the installation.

    Answers (gate): every plugin is asked until one raises. None: nothing against it. A yes cannot
    undo another's no, nor open what the core keeps to the owner.

    Args:
        principal: who asks.
        verb: one of the words above; pass those you do not know.
        resource: `kind` (`action`, `request`, `topic`), `name`, and the handler, topic pattern,
            record or message, where there is one.

    Raises:
        Forbidden, or another Refused: the client's `error`; `NotFound` hides that it exists. From
            `publish` it reaches the handler. Any other error is logged and refuses with
            `INTERNAL_ERROR`.

    Blocks: should not: each message waits for it. No side effects; listing asks too.

    Example:
        ```python
        from streamer_core.errors import Forbidden
        from streamer_core.markers import hookimpl

        class ReadOnlyPlugin:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_authorize(self, principal, verb):
                if verb == "cancel" and not principal.may("requests:cancel"):
                    raise Forbidden("Cancelling needs the scope requests:cancel")
        ```

    Added in 0.1. Implemented by: core defaults (scopes, priority, admin).
    """
