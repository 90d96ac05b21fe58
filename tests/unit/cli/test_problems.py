"""How the client's errors end a command, and how a token is come by."""

import asyncio
from pathlib import Path

import pytest
import streamer_client as client

from streamer_core.cli.gateway import Gateway, problem_of
from streamer_core.cli.problem import Code
from streamer_core.cli.watch import Watch
from tests.unit.cli.tools import Run


@pytest.mark.parametrize(
    ("error", "code", "hint"),
    [
        (client.Failed("PROCESSING_FAILED", "m"), 1, ""),
        (client.InvalidRequest("m"), 2, ""),
        (client.MessageTooLarge("m"), 2, ""),
        (client.OutboxFull("m"), 2, ""),
        (client.Refused("FORBIDDEN", "m"), 3, ""),
        (client.Refused("RATE_LIMITED", "m", retryable=True), 3, "try again later"),
        (
            client.Refused("RATE_LIMITED", "m", retryable=True, retry_after_ms=1500),
            3,
            "try again in 1.5 s",
        ),
        (client.Refused("DUPLICATE_REQUEST", "m"), 3, "another id"),
        (client.HandshakeRefused("m", status=503), 3, "try again later"),
        (client.HandshakeRefused("m", status=429, retry_after=2.0), 3, "try again in 2 s"),
        (client.Unauthorized("m", status=401), 3, "give a token: STREAMER_TOKEN"),
        (client.Unauthorized("m", status=403), 3, ""),
        (client.Cancelled("CANCELLED", "m"), 4, ""),
        (client.TimedOut("TIMEOUT", "m"), 5, ""),
        (client.WaitTimeout("m"), 5, ""),
        (client.ConnectionLost("m"), 6, "`streamer dev` starts one"),
        (client.GatewayError("m"), 6, ""),
        (client.ProtocolError("m"), 6, ""),
    ],
)
def test_exit_codes(error: client.StreamerError, code: int, hint: str) -> None:
    problem = problem_of(error)
    assert problem.code == code
    assert hint in problem.hint
    assert bool(hint) == bool(problem.hint)


def test_that_the_fields_that_are_wrong_are_named() -> None:
    details = [{"path": "payload.to", "message": "too many"}, "odd"]
    problem = problem_of(client.Refused("VALIDATION_ERROR", "m", details=details))
    assert problem.sentence == "VALIDATION_ERROR: m; payload.to: too many"
    assert "--schema" in problem.hint
    details = [{"path": "options.mode", "message": "is unknown"}]
    error = client.Refused("VALIDATION_ERROR", "options.mode: is unknown", details=details)
    problem = problem_of(error)
    assert problem.sentence == "VALIDATION_ERROR: options.mode: is unknown"
    assert problem.hint == ""


def test_what_becomes_of_a_request_nobody_watches() -> None:
    watch = Watch(gateway=Gateway())
    assert watch.left("interrupted", Code.INTERRUPTED).sentence.endswith(
        "before the request was sent"
    )
    watch.request_id = "a b"
    assert "may or may not have run" in watch.left("interrupted", Code.INTERRUPTED).hint
    watch.stored = True
    hint = watch.left("interrupted", Code.INTERRUPTED).hint
    assert hint == "follow it with: streamer requests follow 'a b'"
    watch.gateway = Gateway(url="wss://host/a")
    assert watch.left("x", Code.TIMED_OUT).hint.endswith(" --url wss://host/a")


def test_that_a_timeout_that_is_not_ours_is_left_alone() -> None:
    async def work() -> None:
        raise TimeoutError("of somebody else")

    watch = Watch(gateway=Gateway(), timeout_ms=60_000)
    with pytest.raises(TimeoutError, match="of somebody else"):
        asyncio.run(watch._ends(work(), None))  # type: ignore[arg-type]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Gateway]:
    gateways: list[Gateway] = []

    def run(gateway: Gateway, _work: object) -> tuple[()]:
        gateways.append(gateway)
        return ()

    monkeypatch.setattr(Gateway, "run", run)
    return gateways


def test_where_a_token_comes_from(run: Run, seen: list[Gateway], tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    run("actions")
    run("actions", STREAMER_TOKEN="from-env")
    run("actions", "--token", "given", STREAMER_TOKEN="from-env")
    run("actions", "--token-file", str(file), STREAMER_TOKEN="from-env")
    assert [gateway.token for gateway in seen] == [None, "from-env", "given", "from-file"]
    assert "given" not in repr(seen)


def test_two_tokens(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("x")
    result = run("actions", "--token", "given", "--token-file", str(file))
    assert result.exit_code == 2
    assert "given" not in result.output


def test_where_the_gateway_is(run: Run, seen: list[Gateway]) -> None:
    run("actions")
    run("actions", STREAMER_URL="ws://a")
    run("actions", "--url", "ws://b", STREAMER_URL="ws://a")
    assert [gateway.url for gateway in seen] == ["ws://127.0.0.1:8765", "ws://a", "ws://b"]


@pytest.mark.parametrize(
    "args",
    [
        ("send", "no spaces"),
        ("send", "echo", "--id", "no spaces"),
        ("send", "echo", "[]"),
        ("send", "echo", "--delay", "soon"),
        ("send", "echo", "--metadata", "nothing"),
        ("send", "echo", "--url", "http://host"),
        ("requests", "follow", "no spaces"),
    ],
)
def test_what_cannot_be_sent(run: Run, args: tuple[str, ...]) -> None:
    result = run(*args, **({} if args[0] == "send" else {"STREAMER_URL": "http://host"}))
    assert result.exit_code == 2, result.output


def test_that_nobody_is_there(run: Run) -> None:
    result = run("send", "echo", "--url", "ws://127.0.0.1:1")
    assert result.exit_code == 6
    assert "Hint: is the gateway there?" in result.stderr
