"""`streamer send`."""

from typing import TYPE_CHECKING, Any

import click

from streamer_core.cli import gateway as gateway_options
from streamer_core.cli.gateway import Gateway, problem_of
from streamer_core.cli.options import as_json, duration, json_object, pair
from streamer_core.cli.problem import Code
from streamer_core.cli.watch import Watch

if TYPE_CHECKING:
    from streamer_client import Client, RequestSpec

CODES = """
\b
Exit codes:
    0  complete (with --no-wait: acknowledged)
    1  failed
    2  wrong usage or settings
    3  refused
    4  cancelled
    5  timed out, at the server or by --timeout
    6  cannot connect, or the connection was lost for good
  130  interrupted; the request goes on
"""


@click.command(name="send", epilog=CODES)
@click.argument("action")
@click.argument("payload", metavar="[JSON]", type=json_object, default="{}")
@click.option("--id", help="Name of the request: sent again, it runs only once.")
@click.option("--priority", type=click.Choice(["high", "normal", "low"]), help="Its lane.")
@click.option("--delay", type=duration, help="Run it this much later: 5s, 2m, 1h.")
@click.option("--mode", type=click.Choice(["auto", "sync", "async"]), help="Answer at once or not.")
@click.option("--metadata", type=pair, multiple=True, help="To go along; may be repeated.")
@click.option("--timeout", type=duration, help="Stop waiting after this; the request goes on.")
@click.option("--no-wait", is_flag=True, help="Return once the request is stored.")
@as_json
@gateway_options.options
def command(
    gateway: Gateway, timeout: int | None, no_wait: bool, as_json: bool, **asked: Any
) -> None:
    """Send ACTION with a payload, and show what comes back.

    The payload is a JSON object: the text itself, @FILE, or - for standard input.

    On a terminal progress is a bar, in a pipe a line a message. With --json every message is one
    JSON object on a line, with the fields of the wire protocol; an answer given at once is a
    `complete` too. Ctrl-C stops watching; it does not cancel.
    """
    from streamer_core.cli.view import view_of

    spec = _spec(**asked)
    watch = Watch(gateway=gateway, timeout_ms=timeout)

    async def work(client: "Client") -> None:
        handle = client.submit_spec(spec)
        watch.request_id = handle.id
        with view_of(handle.id, spec.action, as_json=as_json) as view:
            await (watch.to_acknowledgment if no_wait else watch.to_the_end)(handle, view)

    try:
        gateway.run(work)
    except KeyboardInterrupt:
        raise watch.left("interrupted", Code.INTERRUPTED) from None


def _spec(
    *, delay: int | None, metadata: tuple[tuple[str, str], ...], **rest: Any
) -> "RequestSpec":
    from streamer_client import RequestSpec, StreamerError

    try:
        return RequestSpec(
            delay=None if delay is None else delay / 1000,
            metadata=dict(metadata),
            **rest,
        )
    except StreamerError as error:
        raise problem_of(error) from None
