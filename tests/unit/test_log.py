"""Secrets are taken out by name, at any depth."""

import json
import logging
import sys

import pytest
import structlog

from streamer_core import log


@pytest.fixture(autouse=True)
def _as_it_was() -> object:
    yield
    structlog.reset_defaults()


def test_secrets_are_blanked_at_any_depth() -> None:
    event = {
        "event": "e",
        "token": "t",
        "headers": {"Authorization": "a", "x": [{"api_key": "k", "apiKey": "k", "n": 1}]},
        "plain": ["p"],
    }
    assert log.redact(None, "info", event) == {
        "event": "e",
        "token": log.REDACTED,
        "headers": {
            "Authorization": log.REDACTED,
            "x": [{"api_key": log.REDACTED, "apiKey": log.REDACTED, "n": 1}],
        },
        "plain": ["p"],
    }


def test_lines_are_json_with_the_stack(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(json_lines=True)
    try:
        int("why")
    except ValueError:
        structlog.get_logger().exception("failed", secret="s", n=1)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["secret"], line["n"]) == ("failed", log.REDACTED, 1)
    assert "ValueError" in line["exception"]


def test_people_get_text_without_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(json_lines=False, level=logging.INFO)

    def fail(token: str) -> None:
        raise ValueError(len(token))

    try:
        fail("tok" + "en-in-a-frame")
    except ValueError:
        structlog.get_logger().exception("failed")
    shown = capsys.readouterr().err
    assert "ValueError" in shown
    assert "token-in-a-frame" not in shown


def test_a_logger_configures_what_nobody_configured(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()
    assert not sys.stderr.isatty()
    log.get_logger(ref="r").warning("hello")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["ref"]) == ("hello", "r")
