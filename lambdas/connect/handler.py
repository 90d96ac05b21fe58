"""`$connect`: let a client in, or refuse it."""

from streamer_plugin_apigateway.entries import application
from streamer_plugin_apigateway.entries import connect as handler

__all__ = ["handler"]

application(handlers=False)
