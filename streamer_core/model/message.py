"""A message as a client sent it, decoded and checked for shape."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from streamer_core.records import record

NO_ACTION = ""
"""Stands for the action where a message names none that there is, or cannot be read."""


class Priority(StrEnum):
    """The lanes of queued work. A worker takes from the first that has something due."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Mode(StrEnum):
    """How a client wants to be answered, and how a request is."""

    AUTO = "auto"
    SYNC = "sync"
    ASYNC = "async"


@record
class Options:
    """What a client may ask of a request's handling; `delay_ms` counts from its acceptance."""

    priority: Priority = Priority.NORMAL
    delay_ms: int = 0
    mode: Mode = Mode.AUTO


@record
class Message:
    """One decoded client message.

    Args:
        id: the client's id of the request, or one that the server made.
        named: whether the id is the client's own.
        action: a handler's name, or `streamer.…`.
        payload: a JSON object; left out of `repr`, since one of them holds a new token.
        metadata: string to string; never identity.
        options: how it is to be handled.
        size: bytes on the wire.
    """

    id: str
    action: str
    named: bool = True
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict)
    options: Options = field(default_factory=Options)
    size: int = 0
