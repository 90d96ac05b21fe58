"""Secrets are taken out by name, at any depth."""

import json
import logging
import sys
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

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


class Opaque:
    def __repr__(self) -> str:
        return "Opaque(access_token='abc-123', n=1)"


@dataclass
class Holder:
    token: str
    inner: object
    hidden: str = field(default="abc-123", repr=False)


SECRETS = [
    {"a": {"b": [{"refresh_token": "abc-123"}]}},
    {"a": MappingProxyType({"secret": "abc-123"})},
    {"a": ({"password": "abc-123"},)},
    {"a": {("authorization", 1): "abc-123"}},
    {"a": Holder(token="abc-123", inner=Holder(token="abc-123", inner=None))},
    {"a": [Opaque()]},
    {"a": "GET /?token=abc-123&x=1"},
    {"a": '{"api_key": "abc-123", "x": 1}'},
    {"passphrase": "abc-123", "DB_PWD": "abc-123"},
    {"a": "cannot connect to redis://:abc-123@cache:6379/0"},
    {"a": OSError("postgres://app:abc-123@db:5432/shop is gone")},
    {"a": {"x": frozenset({"Authorization: Bearer abc-123-and-more"})}},
    {"a": "streamer.v1, bearer.abc-123-and-more"},
    {"a": "it was eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhYmMtMTIzIn0.abc-123"},
]


@pytest.mark.parametrize("event", SECRETS, ids=range(len(SECRETS)))
def test_no_secret_reaches_a_line(event: dict[str, Any], capsys: Any) -> None:
    log.configure(json_lines=True)
    structlog.get_logger().info("hello", **event)
    line = capsys.readouterr().err
    assert "abc-123" not in line
    assert log.REDACTED in line
    json.loads(line)


def test_no_secret_reaches_a_stack(capsys: pytest.CaptureFixture[str]) -> None:
    for json_lines in (True, False):
        log.configure(json_lines=json_lines)
        try:
            int("headers: {'Authorization': 'Bearer abc-123-and-more'}")
        except ValueError:
            structlog.get_logger().exception("failed")
        shown = capsys.readouterr().err
        assert "ValueError" in shown
        assert "abc-123" not in shown


def test_what_is_no_secret_is_left_as_it_is() -> None:
    event = {
        "event": "The token has expired: open a new connection",
        "n": 1,
        "ratio": 0.5,
        "none": None,
        "flag": True,
        "text": "a=1, b: 2",
        "address": "http://app@cache:6379/a:b@c is not http://cache:6379/?to=me:you@host",
    }
    assert log.redact(None, "info", dict(event)) == event
