"""A life of circuits in both worlds: real gateways, real WebSockets, a person at the command."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from streamer_plugin_local.testing import Talk, eventually, running_gateway, write_project

STREAMER = Path(sys.executable).with_name("streamer")
HANDLERS = """
from pathlib import Path
from streamer_core import Context, handler

@handler("pay", retry={"max_attempts": 1})
def pay(payload: dict, ctx: Context) -> dict:
    with ctx.circuit("ledger"):
        if Path("down").exists():
            raise OSError("down")
    return {"attempt": ctx.attempt}

@handler("report.day", retry={"max_attempts": 1})
async def report(payload: dict, ctx: Context) -> dict:
    if Path("down").exists():
        raise OSError("down")
    return {"attempt": ctx.attempt}
"""
SECTION = {
    "minimum_calls": 3,
    "probes": 1,
    "open_for": "1s",
    "interval": "100ms",
    "actions": {"'report.*'": {}},
}


def streamer(project: Path, *arguments: str) -> str:
    done = subprocess.run(
        [STREAMER, *arguments], cwd=project, capture_output=True, text=True, check=True
    )
    return done.stdout


def until_refused(talk: Talk, action: str) -> dict[str, Any]:
    return eventually(  # type: ignore[no-any-return]
        lambda: (answer := talk.ask(action))["error"]["code"] == "CIRCUIT_OPEN" and answer,
        "an open circuit",
    )


def until_let_through(talk: Talk, action: str) -> None:
    eventually(lambda: talk.ask(action)["type"] == "response", "a closed circuit")


def wait_and_see(talk: Talk, project: Path, action: str) -> None:
    """Open a circuit by failures; what is queued meanwhile waits, and spends no attempt on it."""
    assert talk.ask(action)["data"] == {"attempt": 1}
    (project / "down").touch()
    refused = until_refused(talk, action)["error"]
    assert refused["retry"]["retryable"] is True
    assert 0 <= refused["retry"]["after_ms"] <= 1100
    talk.send(action, id=action, options={"mode": "async"})
    assert talk.until(lambda m: m["type"] == "acknowledgment")["request_id"] == action
    until_refused(talk, action)
    (project / "down").unlink()
    ended = talk.until(lambda m: m.get("request_id") == action and m.get("terminal"))
    assert (ended["type"], ended["attempt"]) == ("complete", 1)
    until_let_through(talk, action)


def test_a_life(tmp_path: Path, world: dict[str, Any]) -> None:
    names = ["local", "sqlite", "circuitbreaker", *(["apigateway"] if world["as_lambda"] else [])]
    project = write_project(
        tmp_path / "project",
        HANDLERS,
        sync_workers=2,
        async_workers=1,
        core={"plugins": names},
        plugins={"circuitbreaker": SECTION},
        **world,
    )
    with running_gateway(project) as served, Talk(served.url) as talk:
        wait_and_see(talk, project, "pay")
        wait_and_see(talk, project, "report.day")

        assert streamer(project, "circuits", "open", "ledger").startswith("ledger: open by hand")
        assert "retry" in until_refused(talk, "pay")["error"]
        assert "until closed by hand" in panel(served)
        assert streamer(project, "circuits", "close", "ledger") == "ledger: closed; it was open\n"
        until_let_through(talk, "pay")
        assert "until closed by hand" not in panel(served)

        told = [json.loads(line) for line in served.log().splitlines() if "circuit cha" in line]
    for circuit in ("ledger", "action:report.day"):
        changes = [(one["before"], one["after"]) for one in told if one["circuit"] == circuit]
        assert changes[0] == ("closed", "open")
        assert ("half_open", "closed") in changes


def panel(served: Any) -> str:
    cookie = {"Cookie": f"streamer_console={served.secret}"}
    asked = urllib.request.Request(f"{served.http}/console", headers=cookie)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        page: str = answer.read().decode()
    assert "action:report.day" in page
    return page
