"""Every error Streamer raises.

```
StreamerError
├── ConfigurationError           stops the start; its text says where and what to write
├── Refused                      a message was not accepted; goes to the client as `error`, refused
│   ├── InvalidMessage           INVALID_MESSAGE      not JSON, not an object, no action
│   ├── InvalidAction            INVALID_ACTION       no handler of that name
│   ├── Invalid                  VALIDATION_ERROR     a field or the payload is wrong
│   ├── Unauthorized             UNAUTHORIZED
│   ├── Forbidden                FORBIDDEN
│   ├── NotFound                 NOT_FOUND
│   ├── RateLimited              RATE_LIMITED         retryable
│   ├── QuotaExceeded            QUOTA_EXCEEDED
│   ├── Duplicate                DUPLICATE_REQUEST
│   ├── TooLarge                 PAYLOAD_TOO_LARGE
│   ├── UnsupportedVersion       UNSUPPORTED_VERSION
│   ├── CircuitOpen              CIRCUIT_OPEN         retryable
│   ├── Unavailable              SERVICE_UNAVAILABLE  retryable
│   └── StorageFailed            STORAGE_ERROR        retryable
├── Reject                       a handler's own answer to its client; never retried
├── Unserializable               a handler's value that JSON cannot hold
├── HandlerTimeout               the handler outlived its timeout
├── StoreError
│   ├── Conflict                 the record is not in the state the write asks for
│   ├── LostLease                somebody else holds, or has finished, the request
│   ├── LimitReached             a counter given to the write has no room
│   ├── ItemTooLarge             the store cannot hold an item of this size
│   └── Throttled                the store asks to slow down; try again
└── TransportError               the transport itself failed (a gone client is no error)
```

Whatever else a handler raises is `PROCESSING_FAILED` to the client and the whole truth in the log.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

_DOTTED = 2
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class StreamerError(Exception):
    """Root of all errors."""


class ConfigurationError(StreamerError):
    """A setting, handler or plugin is wrong. The text says where it is and what to write."""


class Refused(StreamerError):
    """A message that is not accepted. It changes no request.

    Args:
        message: what the client may read: one sentence, no internals.
        details: a JSON value with particulars, for `VALIDATION_ERROR` a list of `{path, message}`.
        retry_after_ms: after how many milliseconds a retry may succeed, where that is known.
        close: where the connection is to be closed after the refusal: the code, and why, as the
            client may read it, in at most 123 bytes.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"
    retryable: ClassVar[bool] = False
    http_status: ClassVar[int] = 403

    def __init__(
        self,
        message: str,
        *,
        details: Any = None,
        retry_after_ms: int | None = None,
        close: tuple[int, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.retry_after_ms = retry_after_ms
        self.close = close


class InvalidMessage(Refused):
    """The frame is not JSON, not an object, or names no action."""

    code = "INVALID_MESSAGE"
    http_status = 400


class InvalidAction(Refused):
    """No handler answers to that action."""

    code = "INVALID_ACTION"
    http_status = 400


class Invalid(Refused):
    """A field of the message or its payload does not have the shape asked for."""

    code = "VALIDATION_ERROR"
    http_status = 400

    @classmethod
    def field(cls, path: str, message: str) -> "Invalid":
        """Make the error of one field: `path` as in `options.delay_ms`."""
        return cls(f"{path}: {message}", details=[{"path": path, "message": message}])


class Unauthorized(Refused):
    """There is no valid token."""

    code = "UNAUTHORIZED"
    http_status = 401


class Forbidden(Refused):
    """The principal is known and may not do this."""

    code = "FORBIDDEN"


class NotFound(Refused):
    """It does not exist, or the asker may not know that it does."""

    code = "NOT_FOUND"
    http_status = 404


class RateLimited(Refused):
    """Too much in too short a time."""

    code = "RATE_LIMITED"
    retryable = True
    http_status = 429


class QuotaExceeded(Refused):
    """More than was agreed."""

    code = "QUOTA_EXCEEDED"
    http_status = 429


class Duplicate(Refused):
    """The id names a request with another action or payload."""

    code = "DUPLICATE_REQUEST"
    http_status = 409


class TooLarge(Refused):
    """More bytes than a message may carry."""

    code = "PAYLOAD_TOO_LARGE"
    http_status = 413


class UnsupportedVersion(Refused):
    """The client speaks a version of the protocol that this server does not."""

    code = "UNSUPPORTED_VERSION"
    http_status = 400


class CircuitOpen(Refused):
    """A dependency is known to be failing; asking it again would not help now."""

    code = "CIRCUIT_OPEN"
    retryable = True
    http_status = 503


class Unavailable(Refused):
    """The server cannot take this now."""

    code = "SERVICE_UNAVAILABLE"
    retryable = True
    http_status = 503


class StorageFailed(Refused):
    """The store did not take it; nothing was accepted."""

    code = "STORAGE_ERROR"
    retryable = True
    http_status = 503


class Reject(StreamerError):
    """What a handler wants its client to read. The request fails with it and is not tried again.

    Args:
        code: the handler's own, with a dot: `billing.card_declined`; at most 128 characters of
            `A-Z a-z 0-9 _ . : -`.
        message: one sentence for the client.
        details: any JSON value.

    Raises:
        ValueError: the code has no dot (undotted ones belong to the protocol), or is none.
    """

    def __init__(
        self, code: str, message: str, *, details: Mapping[str, Any] | Sequence[Any] | None = None
    ) -> None:
        if not _CODE.fullmatch(code) or len(parts := code.split(".")) < _DOTTED or not all(parts):
            raise ValueError(
                f"Reject code {code!r:.200} needs a dot, as in 'billing.card_declined'; "
                f"it may have 128 characters of A-Z a-z 0-9 _ . : -"
            )
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details


class Unserializable(StreamerError):
    """A handler gave what JSON cannot hold; `PROCESSING_FAILED` to the client, not retried."""


class HandlerTimeout(StreamerError):
    """A handler outlived its timeout; `TIMEOUT` to the client once no attempt is left."""


class StoreError(StreamerError):
    """The store failed or refused a write."""


class Conflict(StoreError):
    """The record is not in the state that the write asks for."""


class LostLease(StoreError):
    """The fence is not the current one: somebody else holds or has finished the request."""


class LimitReached(StoreError):
    """A counter given to the write has no room; nothing was written.

    Args:
        key: the counter's key.
        level: what it holds now.
        retry_after_ms: when it will have room, where it refills by itself.
    """

    def __init__(self, key: str, *, level: float, retry_after_ms: int | None = None) -> None:
        super().__init__(f"counter {key} has no room at {level}")
        self.key = key
        self.level = level
        self.retry_after_ms = retry_after_ms


class ItemTooLarge(StoreError):
    """The store cannot hold an item of this size; nothing was written."""


class Throttled(StoreError):
    """The store asks to slow down; the same write may succeed later."""


class TransportError(StreamerError):
    """The transport itself failed. A client that is gone or slow is a `Delivery`, not an error."""
