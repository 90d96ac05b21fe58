"""The running gateway that `send`, `requests follow`, `actions` and `health` talk to."""

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from streamer_core.cli.problem import Code, Problem

if TYPE_CHECKING:
    from streamer_client import Client, StreamerError

Answer = TypeVar("Answer")
Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_URL = "ws://127.0.0.1:8765"
_TOKEN = "STREAMER_TOKEN"  # noqa: S105 - the variable's name
_GIVE_UP_S = 60.0
"""How long a gateway may be away in the middle of a request: a restart takes seconds."""


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """Where it is, and the token to show it."""

    url: str = DEFAULT_URL
    token: str | None = field(default=None, repr=False)

    def run(self, work: "Callable[[Client], Awaitable[Answer]]") -> Answer:
        """Connect, do the work, close; end the command with a sentence where that fails."""
        from streamer_client import Backoff, Client, Settings, StreamerError

        settings = Settings(backoff=Backoff(cap=5.0, give_up_after=_GIVE_UP_S))

        async def connected() -> Answer:
            async with Client(self.url, self.token, settings=settings) as client:
                return await work(client)

        try:
            return asyncio.run(connected())
        except StreamerError as error:
            raise problem_of(error) from None


def options(command: Command) -> Command:
    """Add `--url`, `--token` and `--token-file`; the command gets them as `gateway`."""
    url = click.option(
        "--url",
        envvar="STREAMER_URL",
        default=DEFAULT_URL,
        show_default=True,
        show_envvar=True,
        help="Where the gateway is.",
    )
    return url(_with_token(command))


def optional(command: Command) -> Command:
    """Add them for a command that asks a gateway only where `--url` says so; else it gets None."""
    return click.option("--url", help="Ask the gateway there.")(_with_token(command))


def _with_token(command: Command) -> Command:
    @click.option(
        "--token",
        help=f"Bearer token. Others on this machine can read a command line: prefer the "
        f"environment variable {_TOKEN}, or --token-file.",
    )
    @click.option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File that holds the token.",
    )
    @functools.wraps(command)
    def wrapper(
        *args: Any, url: str | None, token: str | None, token_file: Path | None, **rest: Any
    ) -> Any:
        if url is None and (token or token_file):
            raise Problem("a token is for a gateway: say which one by --url")
        gateway = None if url is None else Gateway(url=url, token=_token(token, token_file))
        return command(*args, gateway=gateway, **rest)

    return wrapper  # type: ignore[return-value]


def _token(token: str | None, file: Path | None) -> str | None:
    if token is not None and file is not None:
        raise Problem("give --token or --token-file, not both")
    if file is not None:
        return file.read_text("utf-8").strip()
    return token or os.environ.get(_TOKEN) or None


def code_of(error: "StreamerError") -> Code:
    """Give the exit code that an error of the client ends the command with."""
    import streamer_client as client

    codes: tuple[tuple[type[Exception], Code], ...] = (
        (client.Cancelled, Code.CANCELLED),
        (client.TimedOut, Code.TIMED_OUT),
        (client.WaitTimeout, Code.TIMED_OUT),
        (client.Failed, Code.FAILED),
        (client.Refused, Code.REFUSED),
        (client.HandshakeRefused, Code.REFUSED),
        (client.InvalidRequest, Code.USAGE),
        (client.OutboxFull, Code.USAGE),
    )
    return next((code for kind, code in codes if isinstance(error, kind)), Code.NO_CONNECTION)


def problem_of(error: "StreamerError") -> Problem:
    """Say what went wrong between here and the gateway, and what to do about it."""
    return Problem(f"{error}{_particulars(error)}", hint=_hint(error), code=code_of(error))


def _particulars(error: "StreamerError") -> str:
    """Give the fields that a VALIDATION_ERROR names, where its message does not."""
    fields = (f"{one.get('path', '')}: {one.get('message', '')}" for one in _named(error))
    return "".join(f"; {field}" for field in fields if field not in str(error))


def _named(error: "StreamerError") -> list[dict[str, Any]]:
    details = getattr(error, "details", None)
    return [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []


_SCHEMA_HINT = "`streamer actions --schema ACTION` shows what an action takes"
_HINTS = {
    "INVALID_ACTION": "`streamer actions` lists those there are",
    "NOT_FOUND": "`streamer requests list` shows those kept; one answered at once is not",
    "DUPLICATE_REQUEST": "another id makes it another request",
    "PAYLOAD_TOO_LARGE": "store large payloads elsewhere and send their address",
    401: f"give a token: {_TOKEN}, or --token-file",
}


def _hint(error: "StreamerError") -> str:
    import streamer_client as client

    if isinstance(error, client.RequestError):
        if any(str(one.get("path", "")).startswith("payload") for one in _named(error)):
            return _SCHEMA_HINT
        wait = None if error.retry_after_ms is None else error.retry_after_ms / 1000
        return _HINTS.get(error.code, "") or _again(wait, may=error.retryable)
    if isinstance(error, client.HandshakeRefused):
        passing = error.status == 429 or error.status >= 500
        return _HINTS.get(error.status, "") or _again(error.retry_after, may=passing)
    if isinstance(error, client.ConnectionLost):
        return "is the gateway there? `streamer dev` starts one here; --url names another"
    return ""


def _again(seconds: float | None, *, may: bool) -> str:
    if not may:
        return ""
    return "try again later" if seconds is None else f"try again in {seconds:g} s"
