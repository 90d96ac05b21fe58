"""Whether somebody takes the spans; says so without importing OpenTelemetry."""

import os
import re
import sys
from typing import Any

from streamer_core.errors import ConfigurationError
from streamer_plugin_otel.address import wrong_with

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_HEADER = re.compile(r"[!#-'*+.0-9A-Z^-z|~-]+[ \t]*=[ \t!#-+\--:<-\[\]-~]*")
"""What the SDK reads. Of all else it warns, and quotes it, though it may be a token."""


def wanted(endpoint: str | None) -> bool:
    """Tell whether there is an endpoint, or a tracer provider of the application's own.

    Raises:
        ConfigurationError: the environment asks for what this plugin does not have.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if own_provider() is not None:
        return True
    exporter = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    if exporter == "none" or not (endpoint or any(map(os.environ.get, _ENDPOINTS))):
        return False
    if exporter != "otlp":
        raise ConfigurationError(
            f"OTEL_TRACES_EXPORTER={exporter}: the plugin otel has only 'otlp' and 'none'; "
            f"set up a TracerProvider of your own for another"
        )
    protocol = next(filter(None, map(os.environ.get, _PROTOCOLS)), "http/protobuf")
    if protocol != "http/protobuf":
        raise ConfigurationError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: the plugin otel speaks 'http/protobuf' "
            f"alone; send to the collector's port for it, usually 4318"
        )
    if endpoint is None:
        _check_address()
    for variable in _HEADERS:
        _check_headers(variable)
    return True


def _check_headers(variable: str) -> None:
    headers = map(str.strip, os.environ.get(variable, "").split(","))
    if not all(_HEADER.fullmatch(one) for one in headers if one):
        raise ConfigurationError(
            f"{variable}: must be name=value, more of them after commas; percent-encode what "
            f"is no letter or digit of a value, as in Authorization=Bearer%20…"
        )


def _check_address() -> None:
    """See that the exporter has an address: it takes whatever is set, and fails at each export."""
    variable = next(filter(os.environ.get, _ENDPOINTS))
    if wrong := wrong_with(os.environ[variable]):
        raise ConfigurationError(f"{variable}: {wrong}")


def own_provider() -> Any:
    """Give the tracer provider that this process has set up; without the API loaded it has none."""
    api = sys.modules.get("opentelemetry.trace")
    provider = api.get_tracer_provider() if api else None
    return None if api is None or isinstance(provider, api.ProxyTracerProvider) else provider
