"""Structured logging. Secrets are taken out by name, whoever logs them."""

import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

from streamer_core.scope import current_tenant

_SECRET_NAMES = (
    *("token", "authorization", "secret", "passw", "cookie", "credential", "bearer"),
    *("api_key", "apikey", "access_key", "private_key"),
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


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank every value whose name says that it is a secret; a structlog processor."""
    for name, value in event.items():
        event[name] = _redacted(name, value)
    return event


def add_tenant(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Say for which tenant the thread works, where it works for one; a structlog processor."""
    if (tenant := current_tenant()) is not None:
        event.setdefault("tenant", tenant)
    return event


def _redacted(name: str, value: Any) -> Any:
    lowered = name.lower()
    if any(secret in lowered for secret in _SECRET_NAMES):
        return REDACTED
    if isinstance(value, dict):
        return {key: _redacted(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted("", item) for item in value]
    return value


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
    trace = [structlog.processors.format_exc_info] if json_lines else []
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            add_tenant,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redact,
            *trace,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
