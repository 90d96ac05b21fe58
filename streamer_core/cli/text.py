"""Text for terminals and pipes, made harmless: much of what is printed was sent by somebody."""

import json
import unicodedata
from datetime import UTC, datetime
from typing import Any

_LINES = {"Zl", "Zp"}


def clean(text: str, *, keep: str = "") -> str:
    """Escape control characters, which could drive the terminal, and what has no shape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char in keep or _is_harmless(char) else _escaped(char) for char in text)


def _is_harmless(char: str) -> bool:
    category = unicodedata.category(char)
    return not category.startswith("C") and category not in _LINES


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def compact(data: Any) -> str:
    """Give JSON on one line, as people read it."""
    return clean(json.dumps(data, ensure_ascii=False, default=str))


def pretty(data: Any) -> str:
    """Give JSON on many lines, as people read it."""
    return clean(json.dumps(data, indent=2, ensure_ascii=False, default=str), keep="\n")


def json_line(data: Any) -> str:
    """Give JSON for a script: one line of ASCII."""
    return json.dumps(data, separators=(",", ":"), default=str)


def when(ms: int | None) -> str:
    """Give Unix milliseconds as a UTC time, to the second; nothing for None."""
    if ms is None:
        return ""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"
