"""The transport: opened, and what is sent by it."""

from collections.abc import Mapping, Sequence

from streamer_core.markers import hookspec
from streamer_core.model.call import Outgoing, Push
from streamer_core.ports import Delivery, Transport


@hookspec
def streamer_open_transport(name: str) -> Transport | None:
    """Open the transport of that name.

    Called: once in each process that sends, at its start, before the store is opened. Not called
    where the transport is handed in: a gateway's workers bring their own way to it.
    Answers (provide): every plugin is asked; answer to your own name alone. None: not mine. No
    answer, or two, stop the start and name the setting, or both plugins.

    Args:
        name: the setting `[streamer] transport`.

    Returns:
        A transport that passes `streamer_core.testing.contracts.TransportContract`.

    Raises:
        ConfigurationError: a setting is wrong. This and any other error stop the start.

    Blocks: may, as long as opening takes. Do not wait for a first client here.

    Example:
        ```python
        from streamer_core.markers import hookimpl
        from streamer_core.testing import MemoryTransport

        class ScratchPlugin:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_open_transport(self, name):
                return MemoryTransport() if name == "scratch" else None
        ```

    Added in 0.1. Implemented by: local, apigateway.
    """


@hookspec(firstresult=True)
def streamer_deliver(pushes: Sequence[Push]) -> Sequence[Mapping[str, Delivery]]:
    """Hand messages to the transport.

    Called: for all that is pushed: progress, chunks, restarts, ends of stored requests, events;
    also a sync request's progress and chunks. What is sent together comes in one call: one message
    as a rule, the ends of a batch of requests. Answers that go back with the message they answer
    (`response`, `acknowledgment`, replays) do not pass here.
    Answers (surround): write a `wrapper=True` generator around `yield`; the core sends inside, all
    in one call of the transport.

    Args:
        pushes: messages (type, encoded bytes, request id, ref and the request's metadata), each
            with the ids of its connections, of which there may be none.

    Returns:
        For each push how it ended for each connection. `GONE`: the connection is forgotten; `BUSY`,
        or none: it is sent again later, progress excepted; `TOO_LARGE` is logged. A wrapper gives
        back what `yield` gave it.

    Raises:
        TransportError: whether they arrived is not known. This and any other error are logged, and
            taken as `BUSY` for all.

    Blocks: a send at most; in the pulse's thread mostly.

    Example:
        ```python
        from collections import Counter
        from streamer_core.markers import hookimpl

        class TallyPlugin:
            def __init__(self, settings, app):
                self.sent = Counter()

            @hookimpl(wrapper=True)
            def streamer_deliver(self, pushes):
                verdicts = yield
                for push, of_each in zip(pushes, verdicts, strict=True):
                    for verdict in of_each.values():
                        self.sent[push.message.type, verdict.value] += 1
                return verdicts
        ```

    Added in 0.1. Implemented by: core defaults (the send itself), otel, xray.
    """


@hookspec(firstresult=True)
def streamer_fan_out(event: Outgoing, connections: Sequence[str]) -> bool | None:
    """Have somebody else send an event to many connections.

    Called: once for each event of a topic that has subscribers, by whoever publishes it, once it is
    known that it may. What is stored (updates of a request) does not pass here.
    Answers (decide): the first answer that is not None wins. None: not mine. The core has no answer
    of its own: whoever publishes then sends, and waits until all have been sent to.

    Args:
        event: the encoded message.
        connections: the ids of all its subscribers.

    Returns:
        True: somebody else sends it, with `Streamer.send`. False: mine, and it did not work; it is
        sent here.

    Raises:
        Exception: logged as `an event could not be handed over`, and taken as False.

    Blocks: a few calls to the network at most: a client may be waiting for the answer.

    Example:
        ```python
        import threading
        from streamer_core.markers import hookimpl

        class BesidePlugin:                  # nobody waits for more than a hundred sends
            def __init__(self, settings, app):
                self.app = app

            @hookimpl
            def streamer_fan_out(self, event, connections):
                if len(connections) <= 100:
                    return None
                threading.Thread(target=self.app.send, args=(event, connections)).start()
                return True
        ```

    Added in 0.1. Implemented by: apigateway (invokes a function).
    """
