"""What can go wrong, as a tree.

StreamerError
├── ConnectionLost            the link is gone and the client did not make it good
│   ├── ClientClosed          by ``close()``, or the client was never entered
│   └── HandshakeRefused      refused before the upgrade: ``status``, ``retry_after``
│       └── Unauthorized      401 or 403
├── RequestError              the server's word: ``code``, ``details``, ``retryable``
│   ├── Refused               the message was not accepted; it changed no request
│   └── Failed                the request ended without a result
│       ├── Cancelled         ``CANCELLED``
│       └── TimedOut          ``TIMEOUT``: the server's limit
├── GatewayError              API Gateway's own frame: the outcome is unknown
├── WaitTimeout               the caller's own limit; the work goes on (also a TimeoutError)
├── OutboxFull                too much is waiting to be sent
├── InvalidRequest            cannot be put on the wire (also a ValueError)
│   └── MessageTooLarge       over 128 KB, or the server's own limit
└── ProtocolError             the server speaks another protocol

No text here ever holds a token.
"""

from collections.abc import Mapping
from typing import Any

# PROTOCOL.md, "Error codes": used where a message leaves ``retry`` out.
RETRYABLE_CODES = frozenset(
    {"RATE_LIMITED", "TIMEOUT", "SERVICE_UNAVAILABLE", "CIRCUIT_OPEN", "STORAGE_ERROR"}
)


class StreamerError(Exception):
    """Root of everything this package raises on purpose."""


class ConnectionLost(StreamerError, ConnectionError):
    """The link went away, and what was asked over it has no known outcome."""


class ClientClosed(ConnectionLost):
    """The client is closed, or was never entered."""


class HandshakeRefused(ConnectionLost):
    """The server answered the opening handshake with an HTTP error."""

    def __init__(self, message: str, *, status: int, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        """Seconds the server asked to be left alone, or None."""


class Unauthorized(HandshakeRefused):
    """No token, a bad one (401), or one that may not come in (403)."""


class RequestError(StreamerError):
    """An ``error`` message of the server."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        details: Any = None,
        retryable: bool = False,
        retry_after_ms: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details
        self.retryable = retryable
        self.retry_after_ms = retry_after_ms
        self.request_id = request_id


class Refused(RequestError):
    """The server did not accept the message; no request was changed by it."""


class Failed(RequestError):
    """The request's terminal message is an error."""


class Cancelled(Failed):
    """The request was cancelled, by this client or by another."""


class TimedOut(Failed):
    """The request took longer than the server lets it."""


class GatewayError(StreamerError):
    """API Gateway could not hand a message to the server; whether it ran is unknown."""


class WaitTimeout(StreamerError, TimeoutError):
    """The caller's ``timeout`` passed; what was sent goes on (``client.follow`` finds it)."""

    def __init__(self, message: str, *, request_id: str | None = None) -> None:
        super().__init__(message)
        self.request_id = request_id


class OutboxFull(StreamerError):
    """No more messages are taken until some of those that wait are sent."""


class InvalidRequest(StreamerError, ValueError):
    """The message breaks a rule of the protocol that can be told without asking."""


class MessageTooLarge(InvalidRequest):
    """The encoded message is over 128 KB, or over what the server says it takes."""


class ProtocolError(StreamerError):
    """The server does not speak version 1 of the protocol."""


def request_error(raw: Mapping[str, Any]) -> RequestError:
    """Make the exception for an ``error`` message, whatever it leaves out."""
    body = _mapping(raw.get("error"))
    retry = _mapping(body.get("retry"))
    code = str(body.get("code", "INTERNAL_ERROR"))
    after = retry.get("after_ms")
    return _class(code, terminal=raw.get("terminal") is True)(
        code,
        str(body.get("message", "")),
        details=body.get("details"),
        retryable=bool(retry.get("retryable", code in RETRYABLE_CODES)),
        retry_after_ms=int(after) if isinstance(after, int | float) else None,
        request_id=raw.get("request_id"),
    )


def _class(code: str, *, terminal: bool) -> type[RequestError]:
    if not terminal:
        return Refused
    return {"CANCELLED": Cancelled, "TIMEOUT": TimedOut}.get(code, Failed)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
