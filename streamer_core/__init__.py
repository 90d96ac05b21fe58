"""Streamer: requests that take longer than a request should.

What a handler's author needs is here; what a plugin's author needs is in `streamer_core.plugin`.
"""

from streamer_core.app import Streamer
from streamer_core.context import Context
from streamer_core.errors import Reject
from streamer_core.handlers import handler, topic
from streamer_core.model.handler import Concurrency
from streamer_core.model.principal import Principal
from streamer_core.settings import Settings

__all__ = [
    "Concurrency",
    "Context",
    "Principal",
    "Reject",
    "Settings",
    "Streamer",
    "handler",
    "topic",
]
