"""A tracer provider that keeps its spans, set up as an application would; and a real collector."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once

from tests.conftest import logs

__all__ = ["Collector", "Kept", "logs"]

Found = list[ReadableSpan]


@pytest.fixture(autouse=True)
def nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what says where spans go, and what a test before set up."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())


class Kept:
    """The spans that have ended, and how they hang together."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        trace.set_tracer_provider(self.provider)

    @property
    def all(self) -> Found:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> Found:
        return [one for one in self.all if one.name == name]

    def one(self, name: str) -> ReadableSpan:
        (found,) = self.named(name)
        return found

    @property
    def traces(self) -> set[int]:
        return {id_of(one).trace_id for one in self.all}

    def parent(self, span: ReadableSpan) -> str | None:
        """Give the name of a span's parent; None where it has none."""
        if span.parent is None:
            return None
        names = [o.name for o in self.all if id_of(o).span_id == span.parent.span_id]
        return names[0] if names else "not here"

    @property
    def tree(self) -> list[tuple[str, str | None]]:
        """Give each span and its parent, as they ended."""
        return [(one.name, self.parent(one)) for one in self.all]


def id_of(span: ReadableSpan) -> trace.SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


@pytest.fixture
def spans() -> Kept:
    return Kept()


class Collector:
    """A process that takes spans by OTLP over HTTP."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "spans.jsonl"
        self._file.touch()
        program = Path(__file__).with_name("collector.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program), str(self._file)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{self._process.stdout.readline().strip()}"

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._file.read_text().splitlines()]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    running = Collector(tmp_path_factory.mktemp("collector"))
    yield running
    running.close()
