"""Each kind of message in each kind of view."""

import json

import pytest
import streamer_client as client
from rich.console import Console

from streamer_core.cli import live
from streamer_core.cli.live import LiveView
from streamer_core.cli.view import JsonView, LineView, Message

MESSAGES: list[Message] = [
    client.Acknowledgment(ref="f00", status="queued", message="Stored"),
    client.Progress(percentage=12.5, message="a\x1b[31m [bold]b"),
    client.Progress(
        percentage=12.5,
        attempt=1,
        metadata={"retrying": True, "next_attempt_at": 1_800_000_000_000},
    ),
    client.Progress(percentage=0, attempt=2),
    client.Chunk(seq=1, data={"a": "\x9b"}),
    client.Restart(seq=2, keep_through_seq=1, attempt=2),
    client.Gap(missing_from=3, missing_through=4, reason="expired"),
    client.Complete(result=[1], seq=5),
]


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with LineView("r-1") as view:
        for message in MESSAGES:
            view.show(message)
        view.failed(client.Failed("CODE", "m"))
    assert capsys.readouterr().out.splitlines() == [
        "queued r-1 ref=f00",
        "progress 12% a\\x1b[31m [bold]b",
        "progress 12% attempt 1 failed; the next begins at 2027-01-15 08:00:00Z",
        "progress 0%",
        'chunk 1 {"a": "\\x9b"}',
        "restart attempt=2: chunks after 1 come again",
        "gap 3-4 expired",
        "complete [1]",
    ]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    view = JsonView("r-1")
    for message in MESSAGES:
        view.show(message)
    view.failed(client.Refused("CODE", "m", retryable=True, retry_after_ms=5))
    view.failed(client.Failed("CODE", "m", details={"a": 1}))
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["type"] for one in shown] == [
        "acknowledgment",
        "progress",
        "progress",
        "progress",
        "chunk",
        "restart",
        "gap",
        "complete",
        "error",
        "error",
    ]
    assert {one["request_id"] for one in shown} == {"r-1"}
    assert shown[4]["data"] == {"a": "\x9b"}
    assert shown[-2]["refused"] is True
    assert shown[-2]["error"]["retry"] == {"retryable": True, "after_ms": 5}
    assert shown[-1]["terminal"] is True
    assert shown[-1]["error"]["details"] == {"a": 1}


def test_live(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        live, "Console", lambda **_: Console(force_terminal=True, width=120, highlight=False)
    )
    with LiveView("r-1", "steps") as view:
        for message in MESSAGES:
            view.show(message)
            if isinstance(message, client.Progress):
                view._bar.refresh()
    out = capsys.readouterr().out
    for part in ("steps", "12%", "a\\x1b[31m [bold]b", "(attempt 2)", "100%", "gap 3-4 expired"):
        assert part in out
    assert "\x9b" not in out
