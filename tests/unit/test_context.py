"""What a handler holds in its hands, apart from any engine."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import pytest

from streamer_core import Context, Principal
from streamer_core.context import KEEP, ContinueLater, Stopped
from tests.conftest import Lines


class Notes:
    """A report that notes what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.reason: str | None = None
        self.guard: AbstractContextManager[Any] | None = None

    def progress(self, percentage: float, message: str, metadata: Mapping[str, Any] | None) -> None:
        self.told.append(("progress", percentage, message, metadata))

    def emit(self, data: Any) -> None:
        self.told.append(("emit", data))

    def checkpoint(self, state: Any) -> None:
        self.told.append(("checkpoint", state))

    def publish(self, topic: str, data: Any) -> None:
        self.told.append(("publish", topic, data))

    def circuit(self, name: str) -> AbstractContextManager[Any] | None:
        return self.guard

    @property
    def stop_reason(self) -> str | None:
        return self.reason

    def remaining_s(self) -> float:
        return 4.5


def context(notes: Notes) -> Context:
    principal = Principal(user="u", tenant="t", claims={"raw": "secret"})
    return Context(notes, request_id="r", ref="f", action="a", principal=principal)


def test_its_words_reach_the_report() -> None:
    notes = Notes()
    ctx = context(notes)
    ctx.progress(5)
    ctx.progress(6, "six", {"k": 1})
    ctx.emit([1])
    ctx.checkpoint(None)
    ctx.publish("room:1", "x")
    assert notes.told == [
        ("progress", 5, "", None),
        ("progress", 6, "six", {"k": 1}),
        ("emit", [1]),
        ("checkpoint", None),
        ("publish", "room:1", "x"),
    ]
    assert ctx.remaining == 4.5
    assert (ctx.metadata, ctx.attempt, ctx.restored) == ({}, 1, None)


@pytest.mark.parametrize("reason", ["cancel", "timeout", "drain", "lost"])
def test_stopping(reason: str) -> None:
    notes = Notes()
    ctx = context(notes)
    ctx.raise_if_cancelled()
    assert not ctx.saw_stop
    notes.reason = reason
    assert not ctx.saw_stop
    with pytest.raises(Stopped, match=reason):
        ctx.raise_if_cancelled()
    assert ctx.cancelled
    assert ctx.saw_stop


def test_continue_later_passes_an_except() -> None:
    ctx = context(Notes())
    with pytest.raises(ContinueLater) as caught, suppress(Exception):
        ctx.continue_later({"x": 1}, after="2s")
    assert (caught.value.state, caught.value.delay_ms) == ({"x": 1}, 2000)
    with pytest.raises(ContinueLater) as caught:
        ctx.continue_later()
    assert (caught.value.state, caught.value.delay_ms) == (KEEP, 0)
    with pytest.raises(ValueError, match="not a duration"):
        ctx.continue_later(after="soon")


def test_circuits() -> None:
    notes = Notes()
    with context(notes).circuit("ledger"):
        pass
    notes.guard = nullcontext("guarded")
    with context(notes).circuit("ledger") as guard:
        assert guard == "guarded"


def test_what_is_bound_is_in_all_further_lines(logs: Lines) -> None:
    ctx = context(Notes())
    ctx.log.info("before")
    ctx.bind(trace_id="1")
    ctx.bind(span_id="2")
    ctx.log.info("after")
    assert [(line.get("trace_id"), line.get("span_id")) for line in logs] == [
        (None, None),
        ("1", "2"),
    ]


def test_its_log_knows_the_request_and_no_secret(logs: Lines) -> None:
    ctx = context(Notes())
    ctx.log.info("hello", token="secret", headers={"Authorization": "secret"})
    assert ctx.log is ctx.log
    (line,) = logs
    assert line["request_id"] == "r"
    assert (line["tenant"], line["user"], line["attempt"]) == ("t", "u", 1)
    assert "secret" not in str(line).replace("[redacted]", "")
