"""Streamer on one machine: a gateway that behaves like API Gateway, workers, a scheduler."""

from streamer_plugin_local.plugin import LocalPlugin

__all__ = ["LocalPlugin"]
