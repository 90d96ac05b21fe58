"""A tracer provider that sends by OTLP over HTTP, for an application that has none of its own."""

import os
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased

from streamer_plugin_otel.sampling import Roots


class Exporter(OTLPSpanExporter):
    """Remembers how the last export went: None before the first."""

    went_well: bool | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        result = SpanExportResult.FAILURE
        try:
            result = super().export(spans)
        finally:
            self.went_well = result is SpanExportResult.SUCCESS
        return result


class OurProvider(TracerProvider):
    """A provider that was set up here. Another application of this process finds it, and its ratio.

    Attributes:
        streamer_ratio: the share of the traces that are kept; None: the environment says it.
        streamer_exporter: sends its spans.
    """

    def __init__(self, exporter: Exporter, ratio: float | None) -> None:
        super().__init__(
            sampler=None if ratio is None else ParentBased(Roots(ratio)),
            resource=Resource.create(_about_the_function()),
            shutdown_on_exit=False,
        )
        self.streamer_ratio = ratio
        self.streamer_exporter = exporter
        self.add_span_processor(BatchSpanProcessor(exporter))


def set_up(endpoint: str | None, ratio: float | None) -> trace.TracerProvider:
    """Set a provider up for the whole process.

    It is never shut down: another application of this process may use it, and to shut it down waits
    for an exporter that hangs. Its threads are daemons.
    """
    url = f"{endpoint.removesuffix('/')}/v1/traces" if endpoint else None
    provider = OurProvider(Exporter(endpoint=url), ratio)
    trace.set_tracer_provider(provider)
    return provider


def _about_the_function() -> dict[str, str | int]:
    """Say which Lambda function this is, by the semantic conventions for FaaS resources.

    OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are stronger, where they are set.
    """
    name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
    if name is None:
        return _unless_set({"service.name": "streamer"})
    about: dict[str, str | int] = {
        "service.name": name,
        "cloud.provider": "aws",
        "cloud.platform": "aws_lambda",
        "faas.name": name,
    }
    for attribute, variable in (
        ("cloud.region", "AWS_REGION"),
        ("faas.version", "AWS_LAMBDA_FUNCTION_VERSION"),
        ("faas.instance", "AWS_LAMBDA_LOG_STREAM_NAME"),
    ):
        if value := os.environ.get(variable):
            about[attribute] = value
    if size := os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"):
        about["faas.max_memory"] = int(size) * 1024 * 1024
    return _unless_set(about)


def _unless_set(about: dict[str, str | int]) -> dict[str, str | int]:
    """Leave out what the environment sets: the SDK takes what it is given over that."""
    named = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    said = {one.partition("=")[0].strip() for one in named.split(",")}
    if os.environ.get("OTEL_SERVICE_NAME"):
        said.add("service.name")
    return {name: value for name, value in about.items() if name not in said}
