"""The door: HTTP or WebSocket, who may come in, and how it is said."""

import contextlib
import http.client
import json
import socket
import time
from typing import Any

import pytest
from streamer_plugin_local.testing import RunningGateway, Talk, running_gateway
from websockets.exceptions import ConnectionClosed, InvalidStatus


def refused(url: str, **options: Any) -> InvalidStatus:
    with pytest.raises(InvalidStatus) as caught, Talk(url, **options):
        pass
    return caught.value


def raw(gateway: RunningGateway, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as sock:
        sock.sendall(data)
        answer = b""
        while part := sock.recv(65_536):
            answer += part
        return answer


def upgrade(*lines: str, path: str = "/") -> bytes:
    head = [
        f"GET {path} HTTP/1.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *lines,
    ]
    return "\r\n".join([*head, "", ""]).encode()


def test_the_api_is_at_the_root_and_at_the_stage(gateway: RunningGateway) -> None:
    for path in ("", "/", "/dev", "/dev/", "/dev?x=1"):
        with Talk(f"ws://localhost:{gateway.port}{path}") as one:
            assert one.ask("echo")["type"] == "response"
    assert refused(f"ws://127.0.0.1:{gateway.port}/other").response.status_code == 403


def test_the_subprotocol_is_selected_where_it_is_offered(gateway: RunningGateway) -> None:
    with Talk(gateway.url, subprotocols=["streamer.v1", "bearer.abc"]) as one:
        assert one.ws.subprotocol == "streamer.v1"
    with Talk(gateway.url, subprotocols=["graphql-ws"]) as one:
        assert one.ws.subprotocol is None


def test_no_compression_is_negotiated(gateway: RunningGateway) -> None:
    with Talk(gateway.url, compression="deflate") as one:
        assert one.ws.protocol.extensions == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8765", "app.localhost:80"])
def test_loopback_hosts_are_answered(gateway: RunningGateway, host: str) -> None:
    assert raw(gateway, get("/health", host)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("host", ["evil.com", "127.0.0.1.evil.com", "10.0.0.1", "[", ""])
def test_other_hosts_are_refused(gateway: RunningGateway, host: str) -> None:
    answer = raw(gateway, get("/health", host))
    assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 400"))
    answer = raw(gateway, upgrade(f"Host: {host}"))
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"allowed_hosts" in answer


def get(path: str, host: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize(
    "origin", ["http://evil.com", "null", "http://localhost.evil.com", "file://", "x"]
)
def test_pages_from_elsewhere_may_not_connect(gateway: RunningGateway, origin: str) -> None:
    error = refused(gateway.url, origin=origin)

    assert error.response.status_code == 403
    assert b"allowed_origins" in error.response.body


@pytest.mark.parametrize("origin", ["http://localhost:5173", "http://127.0.0.1:8765"])
def test_pages_of_this_machine_may_connect(gateway: RunningGateway, origin: str) -> None:
    with Talk(gateway.url, origin=origin) as one:
        assert one.ask("echo")["type"] == "response"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (upgrade("Host: localhost").replace(b"GET", b"POST"), 405),
        (upgrade("Host: localhost").replace(b"HTTP/1.1", b"HTTP/1.0"), 505),
        (upgrade("Host: localhost").replace(b"Version: 13", b"Version: 8"), 400),
        (upgrade("Host: localhost").replace(b"dGhl", b"x"), 400),
        (upgrade("Host: localhost").replace(b"Connection: Upgrade", b"Connection: close"), 426),
        (upgrade("Host: localhost", "no colon"), 400),
        (upgrade("Host: localhost", "Host: evil.com"), 400),
        (upgrade("Host: localhost", path="//["), 400),
        (upgrade("Host: localhost", path="/?" + "&".join(f"n{i}=1" for i in range(150))), 400),
        (upgrade("Host: localhost", "Origin: http://["), 403),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
    ],
)
def test_a_bad_request_is_answered(gateway: RunningGateway, data: bytes, status: int) -> None:
    answer = raw(gateway, data)

    assert answer.startswith((f"HTTP/1.1 {status}".encode(), f"HTTP/1.0 {status}".encode()))


def test_a_header_that_comes_twice_costs_no_worker(gateway: RunningGateway) -> None:
    twice = ("User-Agent: a", "User-Agent: b", "Authorization: Bearer a", "Authorization: Bearer b")
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as sock:
        sock.sendall(upgrade("Host: localhost", *twice))
        assert sock.recv(65_536).startswith(b"HTTP/1.1 101")

    assert "Traceback" not in gateway.log()
    assert health(gateway, gateway.secret)["workers"] == "3 of 3 are ready"


def health(gateway: RunningGateway, secret: str) -> dict[str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    connection.request("GET", "/health", headers={"Authorization": f"Bearer {secret}"})
    with contextlib.closing(connection):
        body = json.loads(connection.getresponse().read())
    return {check["name"]: check["detail"] for check in body["checks"]}


def test_more_new_connections_than_allowed_are_told_when_to_come_again(project: Any) -> None:
    with running_gateway(project(connects_per_s=2, async_workers=1, sync_workers=1)) as gateway:
        open_ones = [Talk(gateway.url), Talk(gateway.url)]
        error = refused(gateway.url)
        for one in open_ones:
            one.ws.close()

    assert error.response.status_code == 429
    assert int(error.response.headers["Retry-After"]) >= 1
    assert json.loads(error.response.body)["code"] == "RATE_LIMITED"


def test_idle_and_old_connections_are_seen_off(project: Any) -> None:
    folder = project(
        idle_timeout="400ms", core={"connection_life": "1500ms"}, async_workers=1, sync_workers=1
    )
    with running_gateway(folder) as gateway:
        with Talk(gateway.url) as idle:
            assert idle.get()["reason"] == "idle"
        with Talk(gateway.url) as old:
            began = time.monotonic()
            with contextlib.suppress(ConnectionClosed):
                while True:
                    old.ask("echo")
            assert old.ws.close_code == 1001
            assert old.ws.close_reason == "expired"
            assert time.monotonic() - began > 1
