"""What the tests here share: log lines as a list."""

import signal
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog

from streamer_core.log import merge_about, redact
from tests.e2e.kit.seed import LONG, SEED

# Whoever runs the tests in the background may have it ignored, and processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    """Say how to have the same chance again: the scenarios and the machine of promises take it."""
    return f"STREAMER_SEED={SEED} STREAMER_CHAOS={'long' if LONG else 'short'}"


Lines = list[MutableMapping[str, Any]]


@pytest.fixture
def logs() -> Iterator[Lines]:
    """Give the log lines written while the test runs, as a machine would read them."""
    lines: Lines = []

    def keep(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        lines.append(dict(event))
        raise structlog.DropEvent

    before = structlog.get_config()
    configured = structlog.is_configured()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            merge_about,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            redact,
            keep,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        cache_logger_on_first_use=False,
    )
    yield lines
    if configured:
        structlog.configure(**before)
    else:
        structlog.reset_defaults()
