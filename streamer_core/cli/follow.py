"""`streamer requests follow`."""

import re
from typing import TYPE_CHECKING

import click

from streamer_core.cli import gateway as gateway_options
from streamer_core.cli.gateway import Gateway
from streamer_core.cli.options import as_json, duration
from streamer_core.cli.problem import Code
from streamer_core.cli.send import CODES
from streamer_core.cli.watch import Watch

if TYPE_CHECKING:
    from streamer_client import Client, Request

_REF = re.compile(r"[0-9a-f]{32}")


@click.command(name="follow", epilog=CODES)
@click.argument("name", metavar="ID|REF")
@click.option(
    "--last-seq",
    type=click.IntRange(min=0),
    default=0,
    help="Show only what comes after this update.",
)
@click.option("--timeout", type=duration, help="Stop waiting after this; the request goes on.")
@as_json
@gateway_options.options
def command(name: str, last_seq: int, timeout: int | None, as_json: bool, gateway: Gateway) -> None:
    """Follow a request of yours to its end, from its first update on.

    It asks the running gateway, and ends as `streamer send` does.
    """
    from streamer_core.cli.view import view_of

    watch = Watch(gateway=gateway, request_id=name, timeout_ms=timeout, stored=True)

    async def work(client: "Client") -> None:
        handle = await _attached(client, name, last_seq)
        watch.request_id = handle.id
        with view_of(handle.id, handle.id, as_json=as_json) as view:
            await watch.to_the_end(handle, view)

    try:
        gateway.run(work)
    except KeyboardInterrupt:
        raise watch.left("interrupted", Code.INTERRUPTED) from None


async def _attached(client: "Client", name: str, last_seq: int) -> "Request":
    from streamer_client import Refused

    if _REF.fullmatch(name):
        # An id may look like a ref; the id is meant where there is a request of that id.
        try:
            await client.status(name)
        except Refused:
            name = str((await client.status(ref=name))["request_id"])
    return client.follow(name, last_seq=last_seq)
