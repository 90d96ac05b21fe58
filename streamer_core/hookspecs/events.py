"""What became of connections and requests."""

from collections.abc import Sequence

from streamer_core.markers import hookspec
from streamer_core.model.connection import Connection
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.message import Message, Mode
from streamer_core.model.request import Failure, Request, Status
from streamer_core.model.update import Update


@hookspec
def streamer_on_connect(connection: Connection) -> None:
    """Learn that a connection was accepted and stored.

    Called: once for each connection, before its handshake is answered: nothing may be sent to it
    yet. Not told of a renewed token.
    Answers (observe): all are told; what they give back is ignored.

    Args:
        connection: as stored; its principal still has the authenticator's `claims`.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: must not: the client waits to be let in.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class WhoIsThere:
            def __init__(self, settings, app):
                self.users = set()

            @hookimpl
            def streamer_on_connect(self, connection):
                self.users.add((connection.principal.tenant, connection.principal.user))
        ```

    Added in 0.1. Implemented by: none yet.
    """


@hookspec
def streamer_on_disconnect(connection: Connection, reason: str) -> None:
    """Learn that a connection is gone.

    Called: once for each stored connection, in whichever process forgets it: it closed, a send
    found it gone, or the sweeper found it over. Up to a connection's life (2 h) late where the
    transport said nothing. Its requests go on.
    Answers (observe): all are told; what they give back is ignored.

    Args:
        connection: as it was stored, without `claims` but those that are `kept`.
        reason: `gone` (found by a send), `expired` (by the sweeper), a plugin's word for what it
            ended, else the transport's, which may be empty.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: must not.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class HowLong:
            def __init__(self, settings, app):
                self.clock, self.lives = app.clock, []

            @hookimpl
            def streamer_on_disconnect(self, connection, reason):
                self.lives.append((reason, self.clock.now() - connection.connected_at))
        ```

    Added in 0.1. Implemented by: none yet.
    """


@hookspec
def streamer_on_request(request: Message, handler: HandlerSpec, mode: Mode) -> None:
    """Learn that a request passed the gates.

    Called: once for each request of a handler, after `streamer_route`, before it is run or stored.
    It may still be refused: no room for its counts, another request of its id, a store that fails.
    Repeats are told too. For what is stored use `streamer_on_transition`.
    Answers (observe): all are told; what they give back is ignored.

    Args:
        request: the message; its payload is the client's data: do not log it.
        handler: its specification.
        mode: how it will be answered.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: must not: the answer waits for it.

    Example:
        ```python
        from collections import Counter
        from streamer_core.markers import hookimpl

        class Popular:
            def __init__(self, settings, app):
                self.calls = Counter()

            @hookimpl
            def streamer_on_request(self, request, mode):
                self.calls[request.action, mode.value] += 1
        ```

    Added in 0.1. Implemented by: local (lets the messages behind go on).
    """


@hookspec
def streamer_on_transition(request: Request, before: Status | None, after: Status) -> None:
    """Learn that a stored request moved.

    Called: after each durable move, in the process that made it: accepted (`before` is None),
    claimed, given back, to be tried again, ended. A crash between the write and this call loses it:
    count what must be exact in the store. Asking a running request to stop is no move.
    Answers (observe): all are told; what they give back is ignored.

    Args:
        request: the record as this process last read it: `after`, not `request.status`, is where it
            stands. Payload and outcome are the client's data.
        before: where it stood; None: it is new.
        after: where it stands.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: must not: it may be the pulse, and the request's next write waits.

    Example:
        ```python
        from collections import Counter
        from streamer_core.markers import hookimpl

        class Ends:
            def __init__(self, settings, app):
                self.ended = Counter()

            @hookimpl
            def streamer_on_transition(self, request, after):
                if after.terminal:
                    self.ended[request.action, after] += 1
        ```

    Added in 0.1. Implemented by: otel, xray.
    """


@hookspec
def streamer_on_update(request: Request, updates: Sequence[Update]) -> None:
    """Learn that updates were stored.

    Called: after each write of chunks, a restart or a terminal message by the worker that holds the
    request, before they are sent. Not told of an end that nobody's worker wrote: a waiting request
    cancelled, the sweeper's. Progress is no update.
    Answers (observe): all are told; what they give back is ignored.

    Args:
        request: the record as it was claimed.
        updates: in order of `seq`, at least one, up to `chunk_buffer` chunks and an end.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: must not: the sends wait for it.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class Output:
            def __init__(self, settings, app):
                self.pieces = {}

            @hookimpl
            def streamer_on_update(self, request, updates):
                chunks = sum(update.kind == "chunk" for update in updates)
                self.pieces[request.ref] = self.pieces.get(request.ref, 0) + chunks
        ```

    Added in 0.1. Implemented by: none yet.
    """


@hookspec
def streamer_on_dead_letter(request: Request, failure: Failure) -> None:
    """Learn that a request failed for good.

    Called: once for each stored request that ends as FAILED, after its `streamer_on_transition`; a
    handler's `Reject` included: look at `failure.code`, where a dot marks the handler's own. It is
    kept for `keep` (7 days) and may be redriven until then.
    Answers (observe): all are told; what they give back is ignored.

    Args:
        request: the record as it was claimed or found; `failures` are those before this one.
        failure: the last attempt's, with class and trace: for operators, never for clients.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: must not: hand an alarm to a thread or a queue.

    Example:
        ```python
        from streamer_core.log import get_logger
        from streamer_core.markers import hookimpl

        class Alarm:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_on_dead_letter(self, request, failure):
                if "." not in failure.code:
                    get_logger().error("dead letter", ref=request.ref, kind=failure.kind)
        ```

    Added in 0.1. Implemented by: dlq.
    """
