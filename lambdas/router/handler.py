"""`$default`: take a message."""

from streamer_plugin_apigateway.entries import application
from streamer_plugin_apigateway.entries import router as handler

__all__ = ["handler"]

application()
