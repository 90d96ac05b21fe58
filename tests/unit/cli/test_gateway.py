"""`send`, `requests follow` and `actions` with a real gateway, in pipes and on a terminal."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.tools import OnTerminal, Run, Start


@pytest.fixture(autouse=True)
def there(gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMER_URL", gateway)


def messages(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_an_answer_at_once(run: Run) -> None:
    result = run("send", "echo", '{"a": "é"}')
    assert (result.exit_code, result.stdout, result.stderr) == (0, 'complete {"a": "é"}\n', "")
    assert run("send", "echo").stdout == "complete {}\n"


def test_a_payload_from_elsewhere(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"a": 1}')
    assert run("send", "echo", f"@{tmp_path}/p.json").stdout == 'complete {"a": 1}\n'
    assert run("send", "echo", "-", given='{"a": 2}').stdout == 'complete {"a": 2}\n'


def test_a_long_one_in_lines(run: Run) -> None:
    result = run("send", "steps", "--id", "lines-1", "--metadata", "a=b", "--priority", "low")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    # The worker may be faster than the acknowledgment: that comes from another process.
    assert sum(bool(re.fullmatch("queued lines-1 ref=[0-9a-f]{32}", line)) for line in lines) == 1
    assert 'chunk 1 {"piece": 1}' in lines
    assert lines[-1] == 'complete {"done": true}'


def test_a_long_one_as_json(run: Run) -> None:
    result = run("send", "steps", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    shown = messages(result.stdout)
    assert [one["type"] for one in shown].count("acknowledgment") == 1
    assert shown[-1]["type"] == "complete"
    assert shown[-1]["result"] == {"done": True}
    assert {one["seq"] for one in shown if one["type"] == "chunk"} == {1}


def test_a_sync_action_sent_as_async(run: Run) -> None:
    shown = messages(run("send", "echo", "--mode", "async", "--json").stdout)
    # The end comes from another process, and may be faster.
    assert [one["type"] for one in shown] in (["acknowledgment", "complete"], ["complete"])


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("fail",), 1, "PROCESSING_FAILED"),
        (("late",), 5, "TIMEOUT"),
        (("nosuch",), 3, "`streamer actions` lists"),
        (("greet", "{}"), 3, "payload.name: Field required"),
    ],
)
def test_outcomes(run: Run, args: tuple[str, ...], code: int, said: str) -> None:
    result = run("send", *args)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert "secret of the house" not in result.output


def test_a_refusal_as_json(run: Run) -> None:
    result = run("send", "nosuch", "--json")
    assert result.exit_code == 3
    (error,) = messages(result.stdout)
    assert (error["type"], error["refused"]) == ("error", True)
    assert error["error"]["code"] == "INVALID_ACTION"


def test_one_that_fails_once(run: Run) -> None:
    shown = messages(run("send", "flaky", "--json").stdout)
    assert "restart" in [one["type"] for one in shown]
    assert shown[-1]["result"] == "at last"


def test_without_waiting(run: Run) -> None:
    result = run("send", "steps", "--no-wait", "--delay", "1h", "--id", "later")
    assert result.exit_code == 0
    assert result.stdout.startswith("queued later ref=")
    assert run("send", "echo", "--no-wait").stdout == "complete {}\n"
    assert run("send", "nosuch", "--no-wait").exit_code == 3


def test_the_end_of_patience(run: Run) -> None:
    assert run("send", "steps", "--delay", "1h", "--timeout", "10ms").exit_code == 5
    run("send", "steps", "--delay", "1h", "--id", "patient", "--no-wait")
    result = run("requests", "follow", "patient", "--timeout", "10ms")
    assert result.exit_code == 5
    assert "request patient goes on" in result.stderr


def test_following(run: Run) -> None:
    sent = messages(run("send", "steps", "--id", "followed", "--json").stdout)
    whole = messages(run("requests", "follow", "followed", "--json").stdout)
    assert [one.get("seq") for one in whole if "seq" in one] == [1, 2]
    rest = messages(run("requests", "follow", sent[0]["ref"], "--last-seq", "1", "--json").stdout)
    assert [one["type"] for one in rest] == ["complete"]


def test_following_an_id_that_looks_like_a_ref(run: Run) -> None:
    name = "0123456789abcdef" * 2
    run("send", "steps", "--id", name)
    assert run("requests", "follow", name).stdout.endswith('complete {"done": true}\n')


@pytest.mark.parametrize("name", ["nowhere", "f" * 32])
def test_following_what_is_not_there(run: Run, name: str) -> None:
    result = run("requests", "follow", name)
    assert result.exit_code == 3
    assert "NOT_FOUND" in result.stderr


def test_actions_of_the_gateway(run: Run) -> None:
    assert "steps   async  1.5m      Report." in run("actions").stdout
    assert messages(run("actions", "--json").stdout)[0]["action"] == "echo"
    assert json.loads(run("actions", "--schema", "greet").stdout)["required"] == ["name"]


def test_ctrl_c_stops_watching_and_a_cancel_stops_the_work(
    start: Start, run: Run, gateway: str, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending = start("send", "wait", "--id", "stuck", STREAMER_URL=gateway)
    assert sending.stdout is not None
    assert sending.stdout.readline().startswith("queued stuck ref=")
    while "waiting" not in sending.stdout.readline():
        pass
    sending.send_signal(signal.SIGINT)
    _, said = sending.communicate(timeout=30)
    assert sending.returncode == 130
    assert "Error: interrupted; request stuck goes on" in said
    assert f"Hint: follow it with: streamer requests follow stuck --url {gateway}" in said

    following = start("requests", "follow", "stuck", STREAMER_URL=gateway)
    assert following.stdout is not None
    assert "waiting" in following.stdout.readline()
    monkeypatch.chdir(served)
    address = ("stuck", "--tenant", "default", "--user", "developer")
    assert run("requests", "cancel", *address).exit_code == 0
    _, said = following.communicate(timeout=30)
    assert following.returncode == 4
    assert "CANCELLED" in said


def test_ctrl_c_while_following(start: Start, run: Run, gateway: str) -> None:
    run("send", "wait", "--id", "stuck-2", "--no-wait")
    following = start("requests", "follow", "stuck-2", STREAMER_URL=gateway)
    assert following.stdout is not None
    following.stdout.readline()
    following.send_signal(signal.SIGINT)
    _, said = following.communicate(timeout=30)
    assert following.returncode == 130
    assert "request stuck-2 goes on" in said


def test_that_what_a_cancel_stored_the_gateway_sends(
    start: Start, run: Run, gateway: str, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending = start("send", "steps", "--delay", "1h", "--id", "early", STREAMER_URL=gateway)
    assert sending.stdout is not None
    sending.stdout.readline()
    monkeypatch.chdir(served)
    address = ("early", "--tenant", "default", "--user", "developer")
    assert "is cancelled" in run("requests", "cancel", *address).stdout
    _, said = sending.communicate(timeout=30)
    assert sending.returncode == 4, said


def test_a_bar_on_a_terminal(on_terminal: OnTerminal, gateway: str) -> None:
    code, seen = on_terminal("send", "steps", STREAMER_URL=gateway)
    assert code == 0
    assert "100%" in seen
    assert "\x1b[" in seen
    assert "━" in seen
    assert '"done"' in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)


def test_a_failure_on_a_terminal(on_terminal: OnTerminal, gateway: str) -> None:
    code, seen = on_terminal("send", "fail", STREAMER_URL=gateway)
    assert code == 1
    assert "PROCESSING_FAILED" in seen


def test_tables_on_a_terminal(
    on_terminal: OnTerminal, run: Run, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("send", "steps", "--id", "in-a-table")
    monkeypatch.chdir(served)
    code, seen = on_terminal("requests", "list", "--all")
    assert code == 0
    assert "in-a-table" in seen
    assert "\x1b[32mcompleted" in seen
