"""The requests table's stream: wake a worker for each request that is due."""

from streamer_plugin_apigateway.entries import application
from streamer_plugin_apigateway.entries import processor as handler

__all__ = ["handler"]

application(handlers=False)
