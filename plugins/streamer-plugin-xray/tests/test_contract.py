import pytest

from streamer_core.testing.contracts import PluginContract


class TestXRayPlugin(PluginContract):
    @pytest.fixture
    def plugin_name(self) -> str:
        return "xray"
