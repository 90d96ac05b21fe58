"""What the management API answers, and what becomes of it."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from streamer_plugin_apigateway.settings import ApiGatewaySettings
from streamer_plugin_apigateway.transport import ManagementTransport, open_transport

from streamer_core.errors import ConfigurationError, TransportError
from streamer_core.ports import Delivery
from tests.emulators import CREDENTIALS, REGION


class Management(ThreadingHTTPServer):
    """A management API that answers as it is told, and 200 otherwise."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[int] = []
        self.asked: list[tuple[str, str, bytes]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Management
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, body))
        status = self.server.answers.pop(0) if self.server.answers else 200
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET = do_DELETE = answer  # noqa: N815 - as http.server names them

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def management() -> Iterator[Management]:
    with Management() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def patience() -> int:
    """Give the milliseconds of a transport's patience: more than a busy machine may take."""
    return 30_000


@pytest.fixture
def transport(
    management: Management, patience: int, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ManagementTransport]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    endpoint = f"http://127.0.0.1:{management.server_port}/prod"
    settings = ApiGatewaySettings(endpoint=endpoint, region=REGION, patience=patience)
    transport = open_transport(settings)
    yield transport
    transport.close()


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Delivery.DELIVERED),
        (410, Delivery.GONE),
        (400, Delivery.GONE),
        (413, Delivery.TOO_LARGE),
    ],
)
def test_an_answer_is_a_verdict(
    transport: ManagementTransport, management: Management, status: int, verdict: Delivery
) -> None:
    management.answers = [status]
    assert transport.send("c", b"{}") is verdict
    assert len(management.asked) == 1


def test_an_id_is_one_part_of_the_path(
    transport: ManagementTransport, management: Management
) -> None:
    transport.send("a/b+c=", b'{"n":1}')
    transport.is_open("a/b+c=")
    transport.close_connection("a/b+c=", 1001, "drain")
    path = "/prod/%40connections/a%2Fb%2Bc%3D"
    said = [(method, asked.replace("@", "%40"), body) for method, asked, body in management.asked]
    assert said == [("POST", path, b'{"n":1}'), ("GET", path, b""), ("DELETE", path, b"")]


def test_a_busy_client_is_tried_again(
    transport: ManagementTransport, management: Management
) -> None:
    management.answers = [429, 429]
    assert transport.send("c", b"{}") is Delivery.DELIVERED
    assert len(management.asked) == 3


@pytest.mark.parametrize("patience", [1_000])
def test_a_client_that_stays_busy_is_busy(
    transport: ManagementTransport, management: Management
) -> None:
    management.answers = [429] * 1_000
    assert transport.send("c", b"{}") is Delivery.BUSY
    assert 2 < len(management.asked) < 100


@pytest.mark.parametrize("status", [403, 500, 503, 0])
def test_what_is_no_verdict_is_an_error(
    transport: ManagementTransport, management: Management, status: int
) -> None:
    management.answers = [status] * 3
    with pytest.raises(TransportError):
        transport.send("c", b"{}")
    with pytest.raises(TransportError):
        transport.is_open("c")
    management.answers = [status]
    assert transport.send_many(["c"], b"{}") == {"c": Delivery.BUSY}


def test_messages_of_one_connection_stay_in_order(
    transport: ManagementTransport, management: Management
) -> None:
    messages = [(f"c{n % 3}", b'{"n":%d}' % n) for n in range(60)]
    assert set(transport.send_each(messages)) == {Delivery.DELIVERED}
    for name in ("c0", "c1", "c2"):
        sent = [body for _, path, body in management.asked if path.endswith(name)]
        assert sent == [data for connection_id, data in messages if connection_id == name]


def test_the_transport_needs_an_address() -> None:
    with pytest.raises(ConfigurationError, match="endpoint"):
        open_transport(ApiGatewaySettings())


@pytest.mark.parametrize(
    ("given", "sentence"),
    [({"at_once": 0}, "at_once"), ({"timers": "queue"}, "timers: must begin with https://")],
)
def test_a_bad_setting_is_named(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ApiGatewaySettings(**given)  # type: ignore[arg-type]
