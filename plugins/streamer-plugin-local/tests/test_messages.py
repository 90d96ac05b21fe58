"""What a client sends, and what it gets: through real sockets and real worker processes."""

import contextlib
import json
import socket
from typing import Any

import pytest
from streamer_plugin_local.testing import RunningGateway, Talk, running_gateway
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode


def test_a_sync_request_is_answered(talk: Talk) -> None:
    answer = talk.ask("echo", {"a": [1, "ü"]}, id="r-1")

    assert (answer["type"], answer["request_id"]) == ("response", "r-1")
    assert answer["data"] == {"a": [1, "ü"]}


def test_hello_names_the_limits(talk: Talk) -> None:
    welcome = talk.ask("streamer.hello", {"version": 1})

    assert welcome["type"] == "welcome"
    assert welcome["limits"]["message_bytes"] == 128 * 1024


def test_everybody_on_loopback_is_the_development_principal_with_all_scopes(talk: Talk) -> None:
    assert talk.ask("whoami")["data"]["user"] == "developer"
    assert talk.until_acknowledged("wait", {"s": 0}, options={"priority": "high"})


def test_a_queued_request_is_acknowledged_and_then_completed(talk: Talk) -> None:
    talk.send("wait", {"s": 0.05})

    types = []
    while "complete" not in types:
        types.append(talk.get()["type"])
    assert "acknowledgment" in types
    assert "progress" in types


def test_chunks_of_a_sync_request_come_before_its_answer(talk: Talk) -> None:
    talk.send("talk", {"n": 5})

    messages = [talk.get() for _ in range(6)]
    assert [m["type"] for m in messages] == ["chunk"] * 5 + ["response"]
    assert [m["seq"] for m in messages[:5]] == [1, 2, 3, 4, 5]


def test_an_event_reaches_every_subscriber(gateway: RunningGateway, talk: Talk) -> None:
    with Talk(gateway.url) as other:
        for one in (talk, other):
            assert one.ask("streamer.subscribe", {"topic": "room:a"})["type"] == "response"
        talk.send("publish", {"topic": "room:a", "data": {"n": 1}})

        assert talk.until(lambda m: m["type"] == "event")["data"] == {"n": 1}
        assert other.get()["data"] == {"n": 1}


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b'"x"', b"{}", b'{"action": 1}', b"\xff\xfe{", b"[" * 30_000],
)
def test_a_malformed_message_is_refused_and_the_connection_lives(talk: Talk, data: bytes) -> None:
    talk.ws.send(data, text=True)

    answer = talk.get()
    assert answer["type"] == "error"
    assert answer["refused"] is True
    assert talk.ask("echo")["type"] == "response"


def test_a_message_over_the_limit_is_refused_and_the_connection_lives(talk: Talk) -> None:
    part = "x" * 32_000
    talk.ws.send(iter([part] * 5))

    answer = talk.get()
    assert answer["error"]["code"] == "PAYLOAD_TOO_LARGE"
    assert answer["refused"] is True
    assert talk.ask("echo")["type"] == "response"


def test_a_shorter_limit_holds_both_ways(project: Any) -> None:
    with (
        running_gateway(project(max_message_bytes=2048, async_workers=1)) as gateway,
        Talk(gateway.url) as talk,
    ):
        hello = talk.ask("streamer.hello", {"version": 1})
        assert hello["limits"]["message_bytes"] == 2048
        assert talk.ask("echo", {"x": "x" * 2048})["error"]["code"] == "PAYLOAD_TOO_LARGE"
        assert talk.ask("big", {"bytes": 4096})["error"]["code"] == "PAYLOAD_TOO_LARGE"
        talk.send("big", {"bytes": 4096}, id="q", options={"mode": "async"})
        end = talk.until(lambda message: message.get("terminal"))
        assert end["error"]["code"] == "PAYLOAD_TOO_LARGE"


def test_a_long_message_comes_in_fragments(talk: Talk) -> None:
    text = json.dumps({"action": "echo", "payload": {"text": "x" * 100_000}})
    talk.ws.send(text[at : at + 30_000] for at in range(0, len(text), 30_000))

    assert len(talk.get()["data"]["text"]) == 100_000


def test_a_ping_between_fragments_is_answered(talk: Talk) -> None:
    def parts() -> Any:
        yield '{"action": '
        assert talk.ws.ping().wait(5)
        yield '"echo"}'

    talk.ws.send(parts())
    assert talk.get()["type"] == "response"


def test_a_binary_frame_closes_with_1003(talk: Talk) -> None:
    talk.ws.send(b"{}")

    assert closed_code(talk) == 1003


def test_a_frame_over_the_limit_closes_with_1009(talk: Talk) -> None:
    talk.ws.send("x" * (32 * 1024 + 1))

    assert closed_code(talk) == 1009


def test_the_client_may_close(talk: Talk) -> None:
    talk.ws.close(1000, "enough")

    assert talk.ws.close_code == 1000


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"\x01\x00", 1002),  # not masked
        (b"\x8b\x80\x00\x00\x00\x00", 1002),  # an opcode nobody knows
        (b"\xc1\x80\x00\x00\x00\x00", 1002),  # a reserved bit
        (b"\x80\x80\x00\x00\x00\x00", 1002),  # a continuation of nothing
    ],
)
def test_a_broken_frame_closes_with_1002(gateway: RunningGateway, raw: bytes, code: int) -> None:
    with upgraded(gateway) as sock:
        sock.sendall(raw)

        frame = received(sock)
        assert frame[:1] == b"\x88"
        assert int.from_bytes(frame[2:4], "big") == code


def test_frames_come_whole_however_they_are_cut(gateway: RunningGateway) -> None:
    frame = Frame(Opcode.TEXT, b'{"action": "echo", "payload": {"n": 1}}').serialize(mask=True)
    with upgraded(gateway) as sock:
        for byte in frame:
            sock.sendall(bytes([byte]))

        assert b'"data":{"n":1}' in received(sock)


def test_many_messages_in_one_packet_are_all_answered(gateway: RunningGateway) -> None:
    frames = b"".join(
        Frame(Opcode.TEXT, json.dumps({"id": f"r{n}", "action": "echo"}).encode()).serialize(
            mask=True
        )
        for n in range(100)
    )
    with upgraded(gateway) as sock:
        sock.sendall(frames)
        data = b""
        while data.count(b'"request_id"') < 100:
            data += received(sock)
    assert all(f'"request_id":"r{n}"'.encode() in data for n in range(100))


def upgraded(gateway: RunningGateway) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
    sock.sendall(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\n"
        b"Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # the example of RFC 6455, 1.3
    return sock


def received(sock: socket.socket) -> bytes:
    data = sock.recv(65_536)
    assert data, "the connection was closed"
    return data


def closed_code(talk: Talk) -> int | None:
    with contextlib.suppress(ConnectionClosed):
        talk.until(lambda _: False)
    code: int | None = talk.ws.close_code
    return code
