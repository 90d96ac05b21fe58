"""Tenants kept apart, within their quotas, and what they use."""

from streamer_plugin_tenancy.plugin import TenancyPlugin

__all__ = ["TenancyPlugin"]
