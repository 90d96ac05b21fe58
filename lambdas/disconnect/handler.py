"""`$disconnect`: forget a client."""

from streamer_plugin_apigateway.entries import application
from streamer_plugin_apigateway.entries import disconnect as handler

__all__ = ["handler"]

application(handlers=False)
