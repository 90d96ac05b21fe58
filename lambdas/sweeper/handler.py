"""A schedule, each minute: find what all others have missed."""

from streamer_plugin_apigateway.entries import application
from streamer_plugin_apigateway.entries import sweeper as handler

__all__ = ["handler"]

application(handlers=False)
