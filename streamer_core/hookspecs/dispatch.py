"""Waking workers for what is stored."""

from collections.abc import Mapping
from typing import Any

from streamer_core.markers import hookspec
from streamer_core.ports import Change


@hookspec(firstresult=True)
def streamer_dispatch(change: Change) -> bool | None:
    """Wake a worker for a request that is due.

    Called: by `Streamer.wake` for each record of the change feed that is due, and by the sweeper
    for each waiting request that is. The same one may come often, late, or after it was run: the
    claim decides who runs it.
    Answers (decide): the first answer that is not None wins. None: not mine. The core has no answer
    of its own: workers that call `Streamer.work` find the request without being woken.

    Args:
        change: `ref`, `lane` (its priority) and `due_at`, which has come.

    Returns:
        True: somebody was woken. False: mine, and it did not work; nobody else is asked, and the
        sweeper asks again within a minute.

    Raises:
        Exception: logged as `nobody could be woken`, and taken as False.

    Blocks: one call to the network at most; records wait behind it. Never run the request here.

    Example:
        ```python
        import queue
        from streamer_core.markers import hookimpl

        class QueuePlugin:
            def __init__(self, settings, app):
                self.woken = queue.SimpleQueue()     # other threads get() and call app.run(ref)

            @hookimpl
            def streamer_dispatch(self, change):
                self.woken.put(change.ref)
                return True
        ```

    Added in 0.1. Implemented by: local (wakes a worker process), apigateway (invokes a
    function).
    """


@hookspec(firstresult=True)
def streamer_schedule(change: Change) -> bool | None:
    """See to it that a request is dispatched when it becomes due.

    Called: by `Streamer.wake` for each record of the change feed that is due later (a delay, a
    retry, `continue_later`), and by the sweeper, every round, for what is due within a minute. The
    same one may come often: arm it once, or let it be woken twice.
    Answers (decide): the first answer that is not None wins. None: not mine. Without any, the
    sweeper's round finds the request, up to a minute late.

    Args:
        change: `ref`, `lane` and `due_at`, which is still to come; days away, perhaps.

    Returns:
        True: it will be woken. False: mine, and not now; the sweeper asks again.

    Raises:
        Exception: logged as `nobody could be woken`, and taken as False.

    Blocks: one call to the network at most. Never wait for the time here.

    Example:
        ```python
        import threading
        from dataclasses import replace
        from streamer_core.markers import hookimpl

        class TimerPlugin:
            def __init__(self, settings, app):
                self.app = app

            @hookimpl
            def streamer_schedule(self, change):
                now = self.app.clock.now()
                due = replace(change, due_at=now)    # in time, by this machine's clock
                timer = threading.Timer((change.due_at - now) / 1000, self.app.wake, [due])
                timer.daemon = True
                timer.start()
                return True
        ```

    Added in 0.1. Implemented by: local (a timer), apigateway (SQS, to 15 min).
    """


@hookspec(firstresult=True)
def streamer_park(record: Mapping[str, Any], error: str) -> bool | None:
    """Keep a record of a stream that nobody can read, for its operator.

    Called: by `Streamer.park`, once for each time that a platform brings such a record to whoever
    reads the stream for it. One that was not kept is brought again, with those behind it; one that
    was kept may be, too.
    Answers (decide): the first answer that is not None wins. None: not mine, or not possible now.
    Nobody's: it is not kept.

    Args:
        record: as the platform gave it, JSON throughout. It may hold clients' data: do not log it.
        error: why it cannot be read; for operators.

    Returns:
        True: it is stored, durably. False: mine, and it is not stored.

    Raises:
        Exception: logged as `a record cannot be parked`, and taken as False.

    Blocks: a few writes at most; the records behind it wait.

    Example:
        ```python
        import json
        from streamer_core.markers import hookimpl

        class ParkingPlugin:
            def __init__(self, settings, app):
                self.app = app

            @hookimpl
            def streamer_park(self, record, error):
                key = f"parked/{record['eventID']}"
                self.app.store.put_value(key, {"error": error, "record": json.dumps(record)})
                return True
        ```

    Added in 0.1. Implemented by: dlq (stores it), apigateway (sends it to a queue).
    """
