"""Kinds of options that several commands share; click shows a function's name as the kind."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from streamer_core.model.duration import to_ms


def duration(text: str) -> int:
    """Read `200ms`, `5s`, `2m`, `1h` or `7d`; give milliseconds."""
    try:
        return to_ms(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object: the text itself, `@file`, or `-` for standard input."""
    try:
        data = json.loads(_text(text))
    except OSError as error:
        raise click.BadParameter(f"{text[1:]}: {error.strerror}") from None
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}; {_QUOTED}") from None
    if not isinstance(data, dict):
        raise click.BadParameter(f"a payload is a JSON object; {_QUOTED}")
    return data


_QUOTED = 'write it in single quotes: \'{"name": "you"}\''


def _text(text: str) -> str:
    if text == "-":
        return sys.stdin.read()
    return Path(text[1:]).read_text("utf-8") if text.startswith("@") else text


def pair(text: str) -> tuple[str, str]:
    """Read `key=value`."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"{text!r} is not key=value")
    return key, value


as_json = click.option("--json", "as_json", is_flag=True, help="JSON lines, for scripts.")
tenant = click.option("--tenant", help="Of this tenant.")
user = click.option("--user", help="Of this user.")
