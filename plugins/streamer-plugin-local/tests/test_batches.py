"""Requests that are claimed many at once: what has not begun when a worker goes is given back."""

from pathlib import Path

from streamer_plugin_local.testing import Talk, running_gateway, write_project
from streamer_plugin_local.usual import Usual

HANDLERS = """
import time
from streamer_core import handler

@handler("quick", mode="async")
def quick(payload: dict) -> dict:
    time.sleep(0.002)
    return payload
"""
MANY = 300


def test_a_drain_spends_no_attempt(tmp_path: Path) -> None:
    project = write_project(tmp_path, HANDLERS, async_workers=1, drain_timeout="5s")
    attempts: dict[str, int] = {}
    with running_gateway(project) as gateway, Talk(gateway.url) as talk:
        for n in range(MANY):
            talk.send("quick", {"n": n}, id=f"q-{n}")
        while len(attempts) < MANY // 10:
            _note(talk, attempts)
        assert gateway.stop() == 0
    with running_gateway(project) as gateway, Talk(gateway.url) as talk:
        for n in range(MANY):
            talk.send("quick", {"n": n}, id=f"q-{n}")
        while len(attempts) < MANY:
            _note(talk, attempts)
        assert gateway.stop() == 0
    assert set(attempts.values()) == {1}


def _note(talk: Talk, attempts: dict[str, int]) -> None:
    message = talk.get()
    if message["type"] == "complete":
        assert message["result"] == {"n": int(message["request_id"][2:])}
        attempts[message["request_id"]] = message["attempt"]


def test_the_last_calls_say_what_is_usual() -> None:
    usual = Usual()
    assert usual.of("a", 0.5) == 0.5
    usual.learn("a", 1.0)
    assert usual.of("a", 0.5) == 1.0
    for _ in range(50):
        usual.learn("a", 0.0)
    assert usual.of("a", 0.5) < 0.01
    assert usual.of("b", 0.5) == 0.5
