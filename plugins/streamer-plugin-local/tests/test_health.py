"""`GET /health` and the action of that name: the status for all, the checks for few."""

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamer_plugin_local.testing import RunningGateway, Talk, eventually, running_gateway

PLUGIN = """
import time
from pathlib import Path
from streamer_core.plugin import Health, hookimpl

MOOD = Path(__file__).with_name("mood")

class MoodyPlugin:
    def __init__(self, settings, app): ...

    @hookimpl
    def streamer_health(self):
        mood = MOOD.read_text()
        if mood == "hangs":
            time.sleep(30)
        if mood == "fails":
            raise RuntimeError("hunter2")
        return Health(name="moody", ok=mood != "dead", degraded=mood == "degraded", detail=mood)
"""


def asked(
    gateway: RunningGateway, authorization: str | None = None
) -> tuple[int, dict[str, Any], str]:
    headers = {} if authorization is None else {"Authorization": authorization}
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    with contextlib.closing(connection):
        for _ in range(2):  # over one connection, kept alive
            connection.request("GET", "/health", headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode()
    return answer.status, json.loads(text), text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moody")
    (folder / "moody.py").write_text(PLUGIN)
    (folder / "mood").write_text("fine")
    info = folder / "moody-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: moody\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[streamer.plugins]\nmoody = moody:MoodyPlugin\n")
    (folder / "streamer.toml").write_text(
        '[streamer]\nplugins = ["sqlite", "local", "moody"]\n'
        "[plugins.local]\nreload = false\nsync_workers = 1\nasync_workers = 1\n"
    )
    return folder


@pytest.fixture(scope="module")
def moody(folder: Path) -> Iterator[RunningGateway]:
    with running_gateway(folder, env={"PYTHONPATH": str(folder)}) as running:
        yield running


def test_strangers_learn_only_how_all_is(moody: RunningGateway) -> None:
    for authorization in (None, "Bearer not-the-secret", f"Basic {moody.secret}"):
        assert asked(moody, authorization)[:2] == (200, {"status": "ok"})


def test_who_knows_the_secret_sees_each_check(moody: RunningGateway) -> None:
    status, body, text = asked(moody, f"Bearer {moody.secret}")
    assert (status, body["status"]) == (200, "ok")
    checks = {check["name"]: check for check in body["checks"]}
    assert set(checks) == {"store", "workers", "moody"}
    assert checks["workers"]["detail"] == "2 of 2 are ready"
    assert 0 < checks["store"]["latency_ms"] < 1_000
    assert moody.secret not in text


def test_over_the_wire_the_worker_answers_for_itself(moody: RunningGateway) -> None:
    with Talk(moody.url) as talk:
        answer = talk.ask("streamer.health")["data"]
    assert answer["status"] == "ok"
    assert [check["name"] for check in answer["checks"]] == ["store", "moody"]


@pytest.mark.parametrize(
    ("mood", "status", "http_status"),
    [
        ("degraded", "degraded", 200),
        ("dead", "dead", 503),
        ("fails", "dead", 503),
        ("hangs", "dead", 503),  # the last: it hangs until the end
    ],
)
def test_degraded_is_not_dead(
    moody: RunningGateway, folder: Path, mood: str, status: str, http_status: int
) -> None:
    (folder / "mood").write_text(mood)

    def come() -> bool:  # an answer is good for a second
        checks = asked(moody, f"Bearer {moody.secret}")[1]["checks"]
        details = [one["detail"] for one in checks if one["name"] == "moody"]
        return details == [_DETAILS.get(mood, mood)]

    eventually(come)
    answered, body, _ = asked(moody)
    assert (answered, body) == (http_status, {"status": status})
    assert "hunter2" not in str(asked(moody, f"Bearer {moody.secret}"))


_DETAILS = {
    "fails": "The check failed; the log says why",
    "hangs": "The check has not ended after 1 s",
}
