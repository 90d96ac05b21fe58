import pytest

from streamer_core.testing.contracts import PluginContract


class TestOtelPlugin(PluginContract):
    @pytest.fixture
    def plugin_name(self) -> str:
        return "otel"
