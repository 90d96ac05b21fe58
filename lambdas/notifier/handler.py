"""Invoked by whoever publishes: send an event to many."""

from streamer_plugin_apigateway.entries import application
from streamer_plugin_apigateway.entries import notifier as handler

__all__ = ["handler"]

application(handlers=False)
