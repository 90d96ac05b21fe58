"""The plugin keeps the rules of a plugin."""

import pytest

from streamer_core.testing.contracts import PluginContract


class TestCloudWatchPlugin(PluginContract):
    @pytest.fixture
    def plugin_name(self) -> str:
        return "cloudwatch"
