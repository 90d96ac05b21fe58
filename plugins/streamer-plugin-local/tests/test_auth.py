"""With an authenticator plugin installed: tokens, refusals, renewal; and what it adds."""

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamer_plugin_local.testing import RunningGateway, Talk, running_gateway, write_project
from websockets.exceptions import ConnectionClosed, InvalidStatus

PLUGINS = ["local", "sqlite", "grumpy", "keys"]
PLUGIN = '''
import time
from streamer_core.errors import RateLimited, Unauthorized
from streamer_core.plugin import Panel, Principal, hookimpl

class Keys:
    """Knows a few tokens."""

    def __init__(self, settings, app):
        pass

    @hookimpl
    def streamer_authenticate(self, handshake):
        if handshake.token is None:
            return None
        if handshake.token == "often":
            raise RateLimited("Too often", retry_after_ms=2500)
        user, _, seconds = handshake.token.partition("-")
        if user not in ("ada", "bob"):
            raise Unauthorized("The token is not good")
        expires_at = int((time.time() + float(seconds)) * 1000) if seconds else None
        return Principal(user=user, tenant="t", expires_at=expires_at)

    @hookimpl
    def streamer_register_panels(self):
        def broken():
            raise RuntimeError("secret detail")

        return [
            Panel(name="keys", title="Keys <1>", rows=lambda: [{"user": "<ada>"}]),
            Panel(name="broken", title="Broken", rows=broken),
        ]


class Grumpy:
    """Has no panel to show."""

    def __init__(self, settings, app):
        pass

    @hookimpl
    def streamer_register_panels(self):
        raise LookupError("secret detail")
'''


def install(folder: Path) -> Path:
    """Put a plugin's distribution where Python finds it."""
    info = folder / "streamer_plugin_keys-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: streamer-plugin-keys\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text(
        "[streamer.plugins]\n"
        "grumpy = streamer_plugin_keys:Grumpy\n"
        "keys = streamer_plugin_keys:Keys\n"
    )
    (folder / "streamer_plugin_keys.py").write_text(PLUGIN)
    return folder


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    handlers = """
from streamer_core import Principal, handler

@handler("whoami")
def whoami(principal: Principal) -> dict:
    return {"user": principal.user}
"""
    site = install(tmp_path_factory.mktemp("site"))
    # With an authenticator it may listen for others too.
    folder = write_project(
        tmp_path_factory.mktemp("keyed"),
        handlers,
        host="0.0.0.0",
        sync_workers=1,
        async_workers=1,
        core={"allow_query_token": True, "plugins": PLUGINS},
    )
    with running_gateway(folder, env={"PYTHONPATH": str(site)}) as running:
        yield running


def at(gateway: RunningGateway, query: str = "") -> str:
    return f"ws://127.0.0.1:{gateway.port}/{query}"


def user_of(talk: Talk) -> str:
    found: str = talk.ask("whoami")["data"]["user"]
    return found


def test_nobody_is_the_development_principal(keyed: RunningGateway) -> None:
    assert keyed.development is False
    with pytest.raises(InvalidStatus) as caught, Talk(at(keyed)):
        pass
    assert caught.value.response.status_code == 401
    assert json.loads(caught.value.response.body)["code"] == "UNAUTHORIZED"


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", {"additional_headers": {"Authorization": "Bearer ada"}}),
        ("", {"subprotocols": ["streamer.v1", "bearer.ada"]}),
        ("?token=ada", {}),
        ("?Authorization=ada", {}),
        ("?token=bob", {"additional_headers": {"Authorization": "Bearer ada"}}),
    ],
)
def test_a_token_may_travel_in_three_ways(
    keyed: RunningGateway, query: str, options: dict[str, Any]
) -> None:
    with Talk(at(keyed, query), **options) as talk:
        assert user_of(talk) == "ada"


@pytest.mark.parametrize(("token", "status"), [("eve", 401), ("often", 429), ("ada--1", 401)])
def test_refusals_have_their_status(keyed: RunningGateway, token: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as caught, Talk(at(keyed, f"?token={token}")):
        pass
    answer = caught.value.response
    assert answer.status_code == status
    assert answer.headers.get("Retry-After") == ("3" if status == 429 else None)


def test_a_renewed_token_keeps_the_connection(keyed: RunningGateway) -> None:
    with Talk(at(keyed, "?token=ada-1.5")) as talk:
        began = time.monotonic()
        assert talk.ask("streamer.authenticate", {"token": "bob"})["error"]["code"] == "FORBIDDEN"
        assert talk.ask("streamer.authenticate", {"token": "ada"})["type"] == "response"
        with pytest.raises(TimeoutError):
            talk.ws.recv(2.5)
        assert time.monotonic() - began > 2
        assert user_of(talk) == "ada"


def test_an_expired_token_ends_the_connection(keyed: RunningGateway) -> None:
    with Talk(at(keyed, "?token=ada-1")) as talk:
        assert talk.get()["type"] == "goodbye"
        with pytest.raises(ConnectionClosed):
            talk.get()


def test_panels_of_plugins_are_shown_and_escaped(keyed: RunningGateway) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", keyed.port, timeout=20)
    headers = {"Cookie": f"streamer_console={keyed.secret}"}
    connection.request("GET", "/console", headers=headers)
    page = connection.getresponse().read().decode()
    connection.close()

    assert "Keys &lt;1&gt;" in page
    assert "&lt;ada&gt;" in page
    assert "RuntimeError" in page
    assert "LookupError" in page
    assert "secret detail" not in page


def test_tokens_are_in_no_log(keyed: RunningGateway) -> None:
    with Talk(at(keyed, "?token=ada-7777.5")) as talk:
        assert user_of(talk) == "ada"
    assert "7777.5" not in keyed.log()


def test_a_token_in_the_query_is_not_looked_at_unless_allowed(project: Any, tmp_path: Path) -> None:
    site = install(tmp_path / "site")
    folder = project(sync_workers=1, async_workers=1, core={"plugins": PLUGINS})
    with (
        running_gateway(folder, env={"PYTHONPATH": str(site)}) as gateway,
        pytest.raises(InvalidStatus) as caught,
        Talk(f"{gateway.url}?token=ada"),
    ):
        pass
    assert caught.value.response.status_code == 401


def test_a_crowd_is_read_as_fast_as_it_is_answered(project: Any) -> None:
    folder = project(pending_per_connection=4, pending_bytes=1024, sync_workers=1, async_workers=1)
    with running_gateway(folder) as gateway, Talk(gateway.url) as one, Talk(gateway.url) as two:
        for n in range(300):
            for talk in (one, two):
                talk.send("echo", {"n": n, "pad": "x" * 500}, id=str(n))
        for talk in (one, two):
            assert {talk.get()["request_id"] for _ in range(300)} == set(map(str, range(300)))
