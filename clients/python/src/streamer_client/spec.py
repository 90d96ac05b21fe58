"""What one request asks for, checked before it is sent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypedDict

from streamer_client.errors import InvalidRequest
from streamer_client.wire import encode

Priority = Literal["high", "normal", "low"]
Mode = Literal["auto", "sync", "async"]

_ACTION = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_ID = re.compile(r"[!-~]{1,128}")
FRAMEWORK = "streamer."


class RequestOptions(TypedDict, total=False):
    """Keyword options of ``request``, ``submit`` and ``stream``; RequestSpec explains them."""

    id: str | None
    priority: Priority | None
    delay: timedelta | float | None
    mode: Mode | None
    metadata: Mapping[str, str] | None
    resend: bool | None
    retries: int


@dataclass(frozen=True, kw_only=True)
class RequestSpec:
    """A request before it is sent.

    id: names the request within its tenant and user; made up where it is None.
    priority: ``high`` needs the right to it. delay: a timedelta, or seconds.
    mode: ``auto`` lets the server decide whether to answer at once.
    metadata: string to string, never identity.
    resend: what to do when the link was cut before the server answered, and the server then
        says it does not know the request. True sends it again: safe for async requests (the
        id makes them one), but a handler that answers at once may run twice. False raises
        ConnectionLost. None: False for mode ``sync``, True otherwise.
    retries: how often a refusal that a retry can help is tried again.
    """

    action: str
    payload: Mapping[str, Any] | None = None
    id: str | None = None
    priority: Priority | None = None
    delay: timedelta | float | None = None
    mode: Mode | None = None
    metadata: Mapping[str, str] | None = None
    resend: bool | None = None
    retries: int = 0

    def __post_init__(self) -> None:
        if not _ACTION.fullmatch(self.action):
            raise InvalidRequest("an action is 1 to 128 characters of A-Z a-z 0-9 _ . : -")
        if self.action.startswith(FRAMEWORK):
            raise InvalidRequest("actions of the framework are sent with call()")
        if self.id is not None:
            check_id(self.id)
        if self.delay_ms is not None and self.delay_ms < 0:
            raise InvalidRequest("a delay cannot be negative")
        _check_objects(self.payload, self.metadata)

    @property
    def delay_ms(self) -> int | None:
        """The delay as the wire has it."""
        if self.delay is None:
            return None
        seconds = self.delay.total_seconds() if isinstance(self.delay, timedelta) else self.delay
        return round(seconds * 1000)

    @property
    def resends(self) -> bool:
        """Whether to send again what the server says it never stored."""
        return self.mode != "sync" if self.resend is None else self.resend

    def encode(self, request_id: str) -> bytes:
        """Make the request's message."""
        options = {"priority": self.priority, "delay_ms": self.delay_ms, "mode": self.mode}
        given = {key: value for key, value in options.items() if value is not None}
        message: dict[str, Any] = {"id": request_id, "action": self.action}
        for key, value in (
            ("payload", self.payload),
            ("metadata", self.metadata),
            ("options", given),
        ):
            if value:
                message[key] = dict(value)
        return encode(message)


def check_id(request_id: str) -> None:
    """Raise InvalidRequest for what cannot name a request."""
    if not _ID.fullmatch(request_id):
        raise InvalidRequest("an id is 1 to 128 printable ASCII characters without spaces")


def _check_objects(payload: object, metadata: object) -> None:
    if payload is not None and not isinstance(payload, Mapping):
        raise InvalidRequest("a payload is a JSON object")
    if metadata is None:
        return
    if not isinstance(metadata, Mapping) or not all(
        isinstance(part, str) for pair in metadata.items() for part in pair
    ):
        raise InvalidRequest("metadata maps strings to strings")
