"""What a plugin brings for all: handlers, commands, panels, a cloud's entries."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from streamer_core.markers import hookspec
from streamer_core.model.call import Panel


@hookspec
def streamer_register_handlers() -> Iterable[Any]:
    """Bring handlers and topics: modules, or functions that carry a decorator.

    Called: once in each process that runs handlers, after the modules of the `streamer.handlers`
    entry points and of `[streamer] handlers` were imported; no store or transport is open yet.
    Answers (provide): every plugin is asked, and all that they bring is registered. None: nothing.
    An action or topic that two bring stops the start and names both modules.

    Returns:
        Modules whose `@handler` and `@topic` functions are to be found, such functions, or both.

    Raises:
        ConfigurationError: this and any other error stop the start.

    Blocks: may import; keep it short, since every cold start waits for it.

    Example:
        ```python
        from streamer_core import handler
        from streamer_core.markers import hookimpl

        @handler("echo")
        def echo(payload: dict) -> dict:
            return payload

        class EchoPlugin:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_register_handlers(self):
                return [echo]
        ```

    Added in 0.1. Implemented by: tenancy.
    """


@hookspec
def streamer_register_commands(cli: Any) -> None:
    """Add commands to the `streamer` command line.

    Called: once, when `streamer --help` or a command that is not built in is asked for. The plugin
    is made with an `app` that has `settings` and `clock` alone: nothing is open.
    Answers (provide): every plugin may add. A name that is taken is refused: use the plugin's own,
    and a group `streamer x …` where there are several commands.

    Args:
        cli: the `click.Group` to add to; click is there, by the extra `streamer-core[cli]`.

    Raises: any error is shown, and the other plugins' commands work.

    Blocks: must not; import what a command needs inside it.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class ClockPlugin:
            def __init__(self, settings, app):
                self.clock = app.clock

            @hookimpl
            def streamer_register_commands(self, cli):
                import click

                @cli.command("time", help="Print the time that requests are stamped with.")
                def time():
                    click.echo(self.clock.now())
        ```

    Added in 0.1. Implemented by: local (`streamer dev`), dynamodb (`streamer tables`), jwt
    (`streamer token`, `streamer jwt`), circuitbreaker (`streamer circuits`), ratelimit (`streamer
    ratelimit`), dlq (`streamer dlq`), cloudwatch (`streamer cloudwatch`), tenancy (`streamer
    tenants`).
    """


@hookspec
def streamer_register_panels() -> Iterable[Panel]:
    """Bring tables for the console.

    Called: at each look at the console, in the gateway's process.
    Answers (provide): every plugin is asked, all panels are shown. None: none.

    Returns:
        `Panel`s. `rows` is called right after: a list of rows, each a map of column to text; the
        first names the columns. No secrets: an operator reads them.

    Raises: the class of what the hook or `rows` raises is shown in its table's place.

    Blocks: within a second, `rows` included: somebody is looking at an empty page.

    Example:
        ```python
        from streamer_core.markers import hookimpl
        from streamer_core.model.call import Panel

        class HandlersPlugin:
            def __init__(self, settings, app):
                self.app = app

            def rows(self):
                return [{"action": one.spec.action} for one in self.app.registry]

            @hookimpl
            def streamer_register_panels(self):
                return [Panel(name="handlers", title="Handlers", rows=self.rows)]
        ```

    Added in 0.1. Implemented by: circuitbreaker, dlq.
    """


@hookspec
def streamer_lambda_entries(app: Any) -> Mapping[str, Callable[[Mapping[str, Any], Any], Any]]:
    """Bring the functions that a cloud calls with its events, to be tried on this machine.

    Called: once in each process that answers messages, by a gateway that raises a cloud's events
    instead of calling the application: `streamer dev --lambda`.
    Answers (provide): exactly one plugin may bring them; none or two stop that gateway's start.

    Args:
        app: the `streamer_core.Streamer` that the functions shall work with.

    Returns:
        Functions of event and context, under the names `connect`, `disconnect` and `router`.

    Raises:
        ConfigurationError: the plugin cannot bring them; this and any other error stop the start.

    Blocks: must not.

    Example:
        ```python
        from streamer_core.markers import hookimpl

        class EchoCloudPlugin:
            def __init__(self, settings, app): ...

            @hookimpl
            def streamer_lambda_entries(self, app):
                return {
                    "connect": lambda event, context: {"statusCode": 200},
                    "disconnect": lambda event, context: {"statusCode": 200},
                    "router": lambda event, context: {"statusCode": 200, "body": event["body"]},
                }
        ```

    Added in 0.1. Implemented by: apigateway.
    """
