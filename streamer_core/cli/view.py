"""How a request under way is shown: as JSON lines, as plain lines, or live on a terminal."""

from abc import ABC, abstractmethod
from dataclasses import asdict
from types import TracebackType
from typing import Any

import click
from streamer_client import (
    Acknowledgment,
    Chunk,
    Complete,
    Gap,
    Progress,
    RequestError,
    Restart,
    Update,
)

from streamer_core.cli.output import is_terminal
from streamer_core.cli.text import clean, compact, json_line, when

Message = Acknowledgment | Update


class View(ABC):
    """Shows one request's messages, one after the other."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id

    def __enter__(self) -> "View":
        return self

    def __exit__(  # noqa: B027 - lines leave nothing behind
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""

    @abstractmethod
    def show(self, message: Message) -> None:
        """Show a message."""

    def failed(self, error: RequestError) -> None:  # noqa: B027 - standard error has it
        """Show the server's error on standard output, where that is for it."""


class JsonView(View):
    """One JSON object a message, as on the wire; a sync answer is a `complete` too."""

    def show(self, message: Message) -> None:
        """Print it."""
        self._print(type(message).__name__.lower(), asdict(message))

    def failed(self, error: RequestError) -> None:
        """Print the error message."""
        import streamer_client

        body = {"code": error.code, "message": error.message, "details": error.details}
        retry = {"retryable": error.retryable, "after_ms": error.retry_after_ms}
        refused = isinstance(error, streamer_client.Refused)
        end = {"refused": True} if refused else {"terminal": True}
        self._print("error", {"error": {**body, "retry": retry}, **end})

    def _print(self, kind: str, body: dict[str, Any]) -> None:
        click.echo(json_line({"type": kind, "request_id": self.request_id, **body}))


class LineView(View):
    """One line a message."""

    def show(self, message: Message) -> None:
        """Print it."""
        click.echo(line(self.request_id, message))


def line(request_id: str, message: Message) -> str:
    """Describe a message in a line."""
    match message:
        case Acknowledgment():
            return clean(f"{message.status} {request_id} ref={message.ref}")
        case Progress():
            return clean(f"progress {message.percentage:.0f}% {remark(message)}").rstrip()
        case Chunk():
            return f"chunk {message.seq} {compact(message.data)}"
        case Restart():
            return (
                f"restart attempt={message.attempt}: "
                f"chunks after {message.keep_through_seq} come again"
            )
        case Gap():
            return f"gap {message.missing_from}-{message.missing_through} {message.reason}"
        case Complete():
            return f"complete {compact(message.result)}"


def remark(progress: Progress) -> str:
    """Give a snapshot's text; of an attempt that will be tried again, when."""
    at = progress.metadata.get("next_attempt_at")
    if progress.metadata.get("retrying") and isinstance(at, int):
        return f"attempt {progress.attempt} failed; the next begins at {when(at)}"
    return progress.message


def view_of(request_id: str, title: str, *, as_json: bool) -> View:
    """Choose: JSON where it is asked for, live where a person is looking, lines elsewhere."""
    if as_json:
        return JsonView(request_id)
    if not is_terminal():
        return LineView(request_id)
    from streamer_core.cli.live import LiveView

    return LiveView(request_id, title)
