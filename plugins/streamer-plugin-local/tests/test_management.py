"""The management API, through the real boto3; and the console."""

import http.client
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from streamer_plugin_local.testing import RunningGateway, Talk, eventually, running_gateway
from websockets.exceptions import ConnectionClosed


def client_of(gateway: RunningGateway, path: str = "", key: str | None = None) -> Any:
    return boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=f"{gateway.http}{path}",
        region_name="eu-central-1",
        aws_access_key_id=key or gateway.secret,
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}),
    )


def id_of(talk: Talk) -> str:
    found: str = talk.ask("streamer.hello", {"version": 1})["connection_id"]
    return found


def error_of(call: Callable[..., Any], **arguments: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize("path", ["", "/dev"])
def test_a_message_is_posted(gateway: RunningGateway, talk: Talk, path: str) -> None:
    client_of(gateway, path).post_to_connection(ConnectionId=id_of(talk), Data=b'{"x": 1}')

    assert talk.get() == {"x": 1}


def test_a_connection_is_described(gateway: RunningGateway, talk: Talk) -> None:
    found = client_of(gateway).get_connection(ConnectionId=id_of(talk))

    assert found["Identity"]["SourceIp"] == "127.0.0.1"
    assert "websockets" in found["Identity"]["UserAgent"]
    assert found["ConnectedAt"] <= found["LastActiveAt"]


def test_a_connection_is_closed(gateway: RunningGateway, talk: Talk) -> None:
    client_of(gateway).delete_connection(ConnectionId=id_of(talk))

    with pytest.raises(ConnectionClosed):
        talk.get()
    assert talk.ws.close_code == 1000


def test_the_gone_are_gone(gateway: RunningGateway) -> None:
    client = client_of(gateway)
    for call in (client.get_connection, client.delete_connection):
        assert error_of(call, ConnectionId="none/such=") == ("GoneException", 410)
    gone = error_of(client.post_to_connection, ConnectionId="none", Data=b"x")
    assert gone == ("GoneException", 410)


def test_a_message_too_large_is_refused(gateway: RunningGateway, talk: Talk) -> None:
    post = client_of(gateway).post_to_connection

    refused = error_of(post, ConnectionId=id_of(talk), Data=b"x" * (128 * 1024 + 1))
    assert refused == ("PayloadTooLargeException", 413)


def test_a_message_of_unknown_length_is_read_no_further_than_the_limit(
    gateway: RunningGateway, talk: Talk
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    connection.request(
        "POST",
        f"/@connections/{id_of(talk)}",
        body=(b"x" * 16_384 for _ in range(12)),
        headers={"Authorization": f"Bearer {gateway.secret}"},
        encode_chunked=True,
    )
    assert connection.getresponse().status == 413
    connection.close()


def test_another_key_is_refused(gateway: RunningGateway, talk: Talk) -> None:
    client = client_of(gateway, key="AKIDEXAMPLE")

    for call in (client.get_connection, client.delete_connection):
        assert error_of(call, ConnectionId=id_of(talk)) == ("ForbiddenException", 403)


def test_a_bearer_will_do(gateway: RunningGateway, talk: Talk) -> None:
    headers = {"Authorization": f"Bearer {gateway.secret}"}
    path = f"/@connections/{id_of(talk)}"

    assert asked(gateway, "POST", path, "{}", headers)[0] == 200
    assert asked(gateway, "POST", path, "{}", {})[0] == 403


def test_faults_answer_gone_or_busy(project: Any) -> None:
    folder = project(faults={"answer": 429, "answer_every": 2}, async_workers=1, sync_workers=1)
    with running_gateway(folder) as gateway, Talk(gateway.url) as talk:
        post, to = client_of(gateway).post_to_connection, id_of(talk)

        post(ConnectionId=to, Data=b'{"n": 1}')
        assert talk.get() == {"n": 1}
        assert error_of(post, ConnectionId=to, Data=b"2") == ("LimitExceededException", 429)


# -- the console


def asked(
    gateway: RunningGateway, method: str, path: str, body: str, headers: dict[str, str]
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def cookie_of(gateway: RunningGateway) -> dict[str, str]:
    path = f"/console?{urlencode({'secret': gateway.secret})}"
    status, headers, _ = asked(gateway, "GET", path, "", {})
    assert status == 303
    assert headers["Location"] == "/console"
    assert "HttpOnly" in headers["Set-Cookie"]
    assert "SameSite=Strict" in headers["Set-Cookie"]
    return {"Cookie": headers["Set-Cookie"].partition(";")[0]}


def test_the_console_asks_for_the_secret(gateway: RunningGateway) -> None:
    for path, headers in (
        ("/console", {}),
        ("/console?secret=wrong", {}),
        ("/console", {"Cookie": "streamer_console=wrong"}),
    ):
        assert asked(gateway, "GET", path, "", headers)[0] == 403


def test_the_console_shows_what_is_there_and_escapes_it(
    gateway: RunningGateway, talk: Talk
) -> None:
    connection_id = id_of(talk)
    talk.send("wait", {"s": 0}, id="<script>alert(1)</script>")
    talk.until(lambda message: message.get("terminal"))

    status, headers, page = asked(gateway, "GET", "/console", "", cookie_of(gateway))

    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert connection_id in page
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert gateway.secret not in page


def test_the_console_cancels_only_from_its_own_page(gateway: RunningGateway, talk: Talk) -> None:
    ref = talk.until_acknowledged("wait", {"s": 15})
    talk.until(lambda message: message["type"] == "progress")
    headers = {**cookie_of(gateway), "Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode({"ref": ref})

    evil = {**headers, "Origin": "http://localhost:1"}
    assert asked(gateway, "POST", "/console/cancel", body, evil)[0] == 403
    own = {**headers, "Origin": gateway.http}
    assert asked(gateway, "POST", "/console/cancel", body, own)[0] == 303

    ended = talk.until(lambda message: message.get("terminal"))
    assert ended["error"]["code"] == "CANCELLED"


def test_the_secret_is_in_no_log(gateway: RunningGateway) -> None:
    cookie_of(gateway)
    assert eventually(lambda: asked(gateway, "GET", "/health", "", {})[0] == 200)
    assert gateway.secret not in gateway.log()
    assert json.dumps(gateway.secret) not in gateway.log()
