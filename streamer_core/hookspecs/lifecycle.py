"""A process: from its start to its end."""

from typing import Any

from streamer_core.markers import hookspec
from streamer_core.model.call import Health


@hookspec
def streamer_startup(app: Any) -> None:
    """Begin: everything is loaded, checked and open, and no message has come yet.

    Called: once in each process that serves; not for a command of the command line. `app.store`,
    `app.transport`, `app.registry` and `app.runtime` are there, as they are not yet when the plugin
    is made.
    Answers (observe): all are told, in order; but here the first error stops the start, and
    `streamer_shutdown` follows for every plugin, those not yet told included.

    Args:
        app: the `streamer_core.Streamer`; keep it if you need it later.

    Raises:
        ConfigurationError: the plugin cannot work; its text should say what to change. This and any
            other error stop the start.

    Blocks: may, a few seconds at most. On Lambda it is part of the cold start; a thread begun here
    is frozen between events.

    Example:
        ```python
        from streamer_core.errors import ConfigurationError
        from streamer_core.markers import hookimpl

        class PickyPlugin:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_startup(self, app):
                if app.settings.core.allow_query_token:
                    raise ConfigurationError("[streamer] allow_query_token must be off here")
        ```

    Added in 0.1. Implemented by: circuitbreaker, ratelimit (both check what their settings name),
    otel, xray, cloudwatch (begins to write at each interval).
    """


@hookspec
def streamer_on_sweep() -> None:
    """Make good what was missed of your own: the sweeper has made a round.

    Called: after each round of the sweeper, about once a minute, in whichever process made it;
    several may, at once or one soon after the other. Not called after a round that failed.
    Answers (observe): all are told; what they give back is ignored.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: may, ten seconds at most: the next round must come soon.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class LastRoundPlugin:               # for an alarm: does the sweeper still come round?
            def __init__(self, settings, app):
                self.app = app

            @hookimpl
            def streamer_on_sweep(self):
                self.app.store.put_value("last-round", self.app.clock.now())
        ```

    Added in 0.1. Implemented by: dlq (finds what it was not told of, and empties queues), jwt (ends
    the connections of revoked tokens).
    """


@hookspec
def streamer_on_flush() -> None:
    """Send on what was gathered: this process may be frozen or ended after it.

    Called: by `Streamer.flush`. `Streamer.close` calls that once, before `streamer_shutdown`; an
    entry whose process may be frozen between events, as on Lambda, after each.
    Answers (observe): all are told; what they give back is ignored.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: may, a second at most: on Lambda the event is not over, and is paid for, until it
    returns.

    Example:
        ```python
        import json
        import sys
        from streamer_core.markers import hookimpl

        class Lines:
            def __init__(self, settings, app):
                self.waiting = []

            @hookimpl
            def streamer_on_metric(self, metric):
                self.waiting.append({"name": metric.name, "value": metric.value})

            @hookimpl
            def streamer_on_flush(self):
                waiting, self.waiting = self.waiting, []
                sys.stderr.writelines(json.dumps(line) + "\\n" for line in waiting)
        ```

    Added in 0.1. Implemented by: circuitbreaker, dlq, otel, cloudwatch (writes its lines), tenancy.
    """


@hookspec
def streamer_health() -> Health | None:
    """Tell how you are.

    Called: by `Streamer.health`, when somebody asks (a load balancer each few seconds, the action
    `streamer.health`, an operator); in each process once a second at most and never twice at once;
    in a thread of its own, beside the other checks. Also by `streamer health`, in a process whose
    plugins were not told to start. The core's own check of the store is always the first answer.
    Answers (observe): every plugin is asked, all answers are shown. None: nothing to tell.

    Returns:
        Name, ok, degraded, one sentence without secrets (500 characters are shown); the core
        measures what the check took where `latency_ms` does not say it. Not ok: whatever is asked
        of this process should be asked of another: it answers 503. Degraded: it should be seen to.

    Raises:
        Exception: logged as `health check failed`; the plugin is shown as not ok.

    Blocks: a second at most: bound every call, or show what a thread of your own found last. One
        that takes longer is shown as not ok, and not asked again before it has ended.

    Example:
        ```python
        import shutil
        from streamer_core.markers import hookimpl
        from streamer_core.model.call import Health

        class DiskPlugin:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_health(self):
                free_mb = shutil.disk_usage("/").free // 1_000_000
                return Health(name="disk", ok=free_mb > 100, detail=f"{free_mb} MB are free")
        ```

    Added in 0.1. Implemented by: local (its worker processes), jwt (the age of its keys), tenancy
    (tables of tenants that failed), circuitbreaker (which circuits are open), ratelimit (whether
    the store counts), dlq (what waits to be kept), cloudwatch and otel (how the last write went),
    xray (whether its daemon is found).
    """


@hookspec
def streamer_shutdown(app: Any) -> None:
    """End: no message comes any more; the store is still open.

    Called: once in `Streamer.close`, after `streamer_on_flush`, before pulse, transport and store
    are closed; also where a start failed, or a command opened only the store: perhaps without
    `streamer_startup` before it. A process that is killed never calls it.
    Answers (observe): all are told, in the order of the start; what they give back is ignored.

    Args:
        app: the `streamer_core.Streamer`.

    Raises: what is raised is logged as `observer failed` with the plugin's name; nothing else.
    Blocks: may, a few seconds at most; join your threads with a bound.

    Example:
        ```python
        import threading
        from streamer_core.markers import hookimpl

        class TickingPlugin:
            def __init__(self, settings, app):
                self.stop = threading.Event()
                self.thread = threading.Thread(target=self.stop.wait, daemon=True)

            @hookimpl
            def streamer_startup(self, app):
                self.thread.start()

            @hookimpl
            def streamer_shutdown(self, app):
                self.stop.set()
                if self.thread.ident:
                    self.thread.join(timeout=5)
        ```

    Added in 0.1. Implemented by: dlq, cloudwatch (writes what is left), tenancy.
    """
