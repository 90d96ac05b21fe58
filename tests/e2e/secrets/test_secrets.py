"""A token is in no log, no file and no message, however it comes and whatever goes wrong."""

import asyncio
import logging
from pathlib import Path

import pytest
from streamer_client import Client, Settings
from streamer_client.errors import HandshakeRefused, StreamerError, Unauthorized
from websockets.exceptions import InvalidStatus

from tests.e2e.kit.bounds import soon
from tests.e2e.kit.processes import kill
from tests.e2e.kit.seed import LONG
from tests.e2e.kit.stand import NewStand, Stand
from tests.e2e.kit.wire import Message, wired

SECRET = "x7Gq2-never-shown"
TOKENS = [f"{way}-{SECRET}" for way in ("good", "bad", "broken")]
_AS_SUBPROTOCOL = Settings(token_as_subprotocol=True)


@pytest.fixture
def keyed(new_stand: NewStand) -> Stand:
    """Give a stand with an authenticator, installed as any plugin is."""
    handlers = ["tests.e2e.project.jobs", "tests.e2e.project.trouble"]
    core = {"handlers": handlers, "plugins": ["local", "sqlite", "keyed"]}
    stand = new_stand(core=core, local={"async_workers": 1})
    info = stand.folder / "streamer_plugin_keyed-1.0.dist-info"
    info.mkdir()
    metadata = "Metadata-Version: 2.1\nName: streamer-plugin-keyed\nVersion: 1.0\n"
    (info / "METADATA").write_text(metadata)
    entry = "keyed = tests.e2e.project.keyed:KeyedPlugin"
    (info / "entry_points.txt").write_text(f"[streamer.plugins]\n{entry}\n")
    return stand


@pytest.mark.parametrize("query", [False, True] if LONG else [False])
def test_tokens_are_shown_nowhere(
    keyed: Stand, query: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "streamer_client")
    gateway = keyed.start(STREAMER_ALLOW_QUERY_TOKEN=str(query).lower())
    frames = asyncio.run(_show_everywhere(keyed, gateway.url, query))
    keyed.stop()
    assert len(keyed.log()) > 500, "there is something to look through"
    assert SECRET not in keyed.log()
    assert SECRET not in caplog.text
    assert SECRET not in str(frames)
    for file in filter(Path.is_file, keyed.folder.rglob("*")):
        assert SECRET.encode() not in file.read_bytes(), file


async def _show_everywhere(stand: Stand, url: str, query: bool) -> list[Message]:
    for token in TOKENS:
        await _by_client(url, token)
    frames = []
    for way in ("token", "Authorization"):
        for token in TOKENS:
            frames += await _by_query(f"{url}?{way}={token}", allowed=query and token == TOKENS[0])
    headers = {"Authorization": f"Bearer {TOKENS[0]}"}
    async with wired(url, additional_headers=headers) as wire:
        for token in TOKENS:
            answer = await wire.ask("streamer.authenticate", {"token": token})
            assert (answer["type"] == "response") == (token == TOKENS[0]), answer
            # Where it does not belong, and broken in the middle of it.
            await wire.ask("streamer.authenticate", {"token": [token]})
        await wire.ask("trouble_now", {"way": "raise"})
        await wire.ask("trouble_now", {"way": "exit"})
        workers = stand.workers()
        kill(workers[0])
        await soon(lambda: stand.workers() != workers, "it is replaced")
        frames += wire.frames
    return frames


async def _by_client(url: str, token: str) -> None:
    for settings in (Settings(), _AS_SUBPROTOCOL):
        client = Client(url, token, settings=settings)
        assert SECRET not in repr(client)
        error = await _refusal(client)
        expected = {TOKENS[0]: type(None), TOKENS[1]: Unauthorized, TOKENS[2]: HandshakeRefused}
        assert isinstance(error, expected[token]), error
        if error is not None:
            assert SECRET not in f"{error!r} {error.__context__!r} {error.__cause__!r}"


async def _refusal(client: Client) -> StreamerError | None:
    try:
        async with client:
            await client.request("echo", {"n": 1})
    except StreamerError as error:
        return error
    return None


async def _by_query(url: str, *, allowed: bool) -> list[Message]:
    if allowed:
        async with wired(url) as wire:
            await wire.ask("echo", {"n": 1})
            return wire.frames
    with pytest.raises(InvalidStatus) as caught:
        async with wired(url):
            pass
    response = caught.value.response
    assert response.status_code in {401, 503}
    assert SECRET not in f"{response.body!r} {response.headers}"
    return []
