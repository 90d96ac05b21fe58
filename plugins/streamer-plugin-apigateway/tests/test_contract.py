"""The transport keeps every rule of the port, on real WebSockets, and the plugin its own."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from streamer_plugin_apigateway.settings import ApiGatewaySettings
from streamer_plugin_apigateway.transport import ManagementTransport, open_transport
from websockets.sync.client import ClientConnection, connect

from streamer_core.testing.contracts import PluginContract, TransportContract
from tests.emulators import REGION

BOUND_S = 20


class TestApiGatewayPlugin(PluginContract):
    @pytest.fixture
    def plugin_name(self) -> str:
        return "apigateway"


class TestManagementTransport(TransportContract):
    @pytest.fixture
    def transport(self, api: str) -> Iterator[ManagementTransport]:
        transport = open_transport(ApiGatewaySettings(endpoint=api, region=REGION))
        yield transport
        transport.close()

    @pytest.fixture
    def clients(self) -> dict[str, ClientConnection]:
        return {}

    @pytest.fixture
    def connect(
        self, api: str, clients: dict[str, ClientConnection]
    ) -> Iterator[Callable[[], str]]:
        all_closed = ExitStack()

        def connected() -> str:
            url = api.replace("http://", "ws://")
            client = all_closed.enter_context(connect(url, max_queue=None))
            client.send('{"action": "who"}')
            name = str(client.recv(BOUND_S))
            clients[name] = client
            return name

        with all_closed:
            yield connected

    @pytest.fixture
    def received(self, clients: dict[str, ClientConnection]) -> Callable[[str, int], Sequence[Any]]:
        def received(connection_id: str, number: int) -> Sequence[Any]:
            client = clients[connection_id]
            return [json.loads(client.recv(BOUND_S)) for _ in range(number)]

        return received

    @pytest.fixture
    def hang_up(self, clients: dict[str, ClientConnection]) -> Callable[[str], None]:
        return lambda connection_id: clients[connection_id].close()
