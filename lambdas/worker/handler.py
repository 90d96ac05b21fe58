"""Asynchronous invocations, and the timers' queue: run a request."""

from streamer_plugin_apigateway.entries import application
from streamer_plugin_apigateway.entries import worker as handler

__all__ = ["handler"]

application()
