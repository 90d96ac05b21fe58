"""The plugin is what every plugin must be."""

import pytest

from streamer_core.testing.contracts import PluginContract


class TestTenancyPlugin(PluginContract):
    @pytest.fixture
    def plugin_name(self) -> str:
        return "tenancy"
