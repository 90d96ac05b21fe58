"""Structured logging. Secrets are taken out by name, whoever logs them."""

import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from streamer_core import scope

_SECRET_NAMES = (
    *("token", "authorization", "secret", "passw", "cookie", "credential", "bearer"),
    *("passphrase", "pwd", "api_key", "apikey", "access_key", "private_key"),
)
REDACTED = "[redacted]"
_INFO = 20  # logging.INFO: only structlog, which is seldom needed, needs that module


def get_logger(**bound: Any) -> Any:
    """Give a structlog logger with these values bound.

    Where nobody has configured structlog it is done here: its own default prints the local
    variables of every frame of a stack, and among those may be a token.
    """
    import structlog  # noqa: PLC0415 - 65 ms that a start which logs nothing saves

    if not structlog.is_configured():
        configure(json_lines=not sys.stderr.isatty())
    return structlog.get_logger("streamer", **bound)


def merge_about(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Add what the line is about, where it does not say so itself; a structlog processor."""
    for name, value in scope.fields().items():
        if value is not None:
            event.setdefault(name, value)
    return event


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank every value whose name says that it is a secret, and tokens in text.

    A structlog processor; after the one that makes an exception text.
    """
    for name, value in event.items():
        event[name] = _redacted(name, value)
    return event


def _redacted(name: str, value: Any) -> Any:
    lowered = name.lower()
    if any(secret in lowered for secret in _SECRET_NAMES):
        return REDACTED
    if isinstance(value, Mapping):
        return {str(key): _redacted(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | AbstractSet):
        return [_redacted("", item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        shown = [one.name for one in fields(value) if one.repr]
        return {one: _redacted(one, getattr(value, one)) for one in shown}
    return value if value is None or isinstance(value, int | float) else _scrubbed(value)


def _scrubbed(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    for secret in _secrets_in_text():
        text = secret.sub(rf"\g<1>{REDACTED}", text)
    return text


@cache
def _secrets_in_text() -> tuple["re.Pattern[str]", ...]:
    """Give what finds a token by its looks, a secret by its name, and one in an address.

    Their group is what stands before it.

    The first behind `Bearer`, in our subprotocol, and a JSON web token anywhere. The second in
    JSON, in a `repr` or in a query: `"token": "…"`, `token='…'`, `token=…&`. The third a password,
    as in `redis://user:…@host`.
    """
    names = "|".join(_SECRET_NAMES)
    bearer = r"(\bbearer[ .])[\w.~+/=-]{8,}|\beyJ[\w-]+\.[\w-]+\.[\w-]*"
    named = rf"""((?:{names})[\w-]*(?:['"]\s*:\s*|=)['"]?)(?!\[redacted)[^\s'"&,;)}}\]]+"""
    in_address = r"""(://[^\s/:@'"]*:)[^\s/@'"]+(?=@)"""
    return tuple(re.compile(one, re.IGNORECASE) for one in (bearer, named, in_address))


def trace_of(error: BaseException, *, without: str | None) -> str:
    """Give an error's stack as text, a secret blanked: `users[token]` puts it into a KeyError."""
    text = "".join(traceback.format_exception(error))
    return text.replace(without, REDACTED) if without else text


def configure(*, json_lines: bool, level: int = _INFO) -> None:
    """Send log lines to standard error: JSON for machines, aligned text for people."""
    import structlog  # noqa: PLC0415

    renderer: Any = (
        structlog.processors.JSONRenderer(default=repr)
        if json_lines
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            merge_about,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
