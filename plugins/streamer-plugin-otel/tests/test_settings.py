"""When it is on, and what it refuses; what it sets up is tried in processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util.re import parse_env_headers
from streamer_plugin_otel.provider import set_up
from streamer_plugin_otel.wanted import wanted

from streamer_core import Settings, Streamer
from streamer_core.errors import ConfigurationError
from streamer_core.testing import ManualClock, MemoryStore, MemoryTransport

NOWHERE = "http://127.0.0.1:1"

PROGRAM = """
import json, os, sys
from streamer_core import Settings, Streamer
from streamer_core.testing import MemoryStore, MemoryTransport
from streamer_core.ports import SystemClock

clock = SystemClock()
exec(os.environ.get("BEFORE", ""))
settings = Settings.of({"plugins": ["otel"]}, json.loads(os.environ["SECTIONS"]))
with Streamer.start(
    settings, store=MemoryStore(clock), transport=MemoryTransport(), load_handlers=False
) as app:
    loaded = sorted({name for name in sys.modules if name.startswith("opentelemetry.")})
    told = len(app.hooks.implementations("streamer_around_message"))
    more = eval(os.environ.get("AFTER", "None"))
print(json.dumps({"loaded": loaded, "told": told, "more": more}))
"""


def run(section: dict[str, Any] | None = None, **env: str) -> dict[str, Any]:
    """Start an application with the plugin in a process of its own; say what it loaded."""
    sections = {} if section is None else {"otel": section}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "SECTIONS": json.dumps(sections), **env},
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_it_is_off_and_nothing_of_opentelemetry_is_imported() -> None:
    assert run() == {"loaded": [], "told": 0, "more": None}


def test_it_is_on_where_a_setting_says_where_spans_go() -> None:
    answer = run({"endpoint": NOWHERE})
    assert "opentelemetry.sdk.trace" in answer["loaded"]
    assert answer["told"] == 1


OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("endpoint", "env", "on"),
    [
        (None, {}, False),
        (NOWHERE, {}, True),
        (None, {OTLP: NOWHERE}, True),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{NOWHERE}/v1/traces"}, True),
        (None, {OTLP: ""}, False),
        (None, {OTLP: NOWHERE, "OTEL_TRACES_EXPORTER": "none"}, False),
        (NOWHERE, {"OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_when_it_is_on(
    monkeypatch: pytest.MonkeyPatch, endpoint: str | None, env: dict[str, str], on: bool
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert wanted(endpoint) is on


def test_a_provider_of_the_applications_own_is_used_without_any_setting() -> None:
    before = (
        "from opentelemetry import trace; from opentelemetry.sdk.trace import TracerProvider;"
        "mine = TracerProvider(); trace.set_tracer_provider(mine)"
    )
    after = "trace.get_tracer_provider() is mine"
    answer = run(BEFORE=before, AFTER=after)
    assert (answer["told"], answer["more"]) == (1, True)
    assert not [name for name in answer["loaded"] if name.startswith("opentelemetry.exporter")]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., TracerProvider]]:
    """Give a function that sets up a provider, as the plugin does, in an environment."""
    providers: list[TracerProvider] = []

    def make(ratio: float | None = None, **env: str) -> TracerProvider:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        provider = set_up(NOWHERE, ratio)
        assert isinstance(provider, TracerProvider)
        providers.append(provider)
        return provider

    yield make
    for provider in providers:
        provider.shutdown()


@pytest.mark.parametrize(
    ("ratio", "env", "sampler"),
    [
        (0.25, {"OTEL_TRACES_SAMPLER": "always_off"}, "ParentBased{root:TraceIdRatioBased{0.25}"),
        (None, {"OTEL_TRACES_SAMPLER": "always_off"}, "AlwaysOffSampler"),
        (None, {}, "ParentBased{root:AlwaysOnSampler"),
    ],
)
def test_how_much_is_kept(
    made: Callable[..., TracerProvider], ratio: float | None, env: dict[str, str], sampler: str
) -> None:
    assert made(ratio, **env).sampler.get_description().startswith(sampler)


@pytest.mark.parametrize(
    ("env", "about"),
    [
        ({}, {"service.name": "streamer"}),
        ({"OTEL_SERVICE_NAME": "mine"}, {"service.name": "mine"}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=my,a=b"}, {"service.name": "my", "a": "b"}),
        (
            {
                "AWS_LAMBDA_FUNCTION_NAME": "worker",
                "AWS_LAMBDA_FUNCTION_VERSION": "7",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
                "AWS_REGION": "eu-central-1",
            },
            {
                "service.name": "worker",
                "faas.name": "worker",
                "faas.version": "7",
                "faas.max_memory": 134_217_728,
                "cloud.provider": "aws",
                "cloud.region": "eu-central-1",
            },
        ),
    ],
)
def test_what_the_spans_say_of_their_process(
    made: Callable[..., TracerProvider], env: dict[str, str], about: dict[str, Any]
) -> None:
    said = made(**env).resource.attributes
    assert {name: said[name] for name in about} == about


@pytest.mark.parametrize("variable", [OTLP, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
@pytest.mark.parametrize(
    ("address", "said"),
    [("localhost:4318", "must begin with http:// or https://"), ("http://:4318", "name a host")],
)
def test_an_environments_address_is_one(
    monkeypatch: pytest.MonkeyPatch, variable: str, address: str, said: str
) -> None:
    monkeypatch.setenv(OTLP, NOWHERE)
    monkeypatch.setenv(variable, address)
    with pytest.raises(ConfigurationError, match=f"{variable}: .*{said}"):
        start()
    assert wanted(NOWHERE), "the setting is stronger"


def start(**section: Any) -> None:
    clock = ManualClock()
    Streamer.start(
        Settings.of({"plugins": ["otel"]}, {"otel": section}),
        store=MemoryStore(clock),
        transport=MemoryTransport(),
        clock=clock,
        load_handlers=False,
    ).close()


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"endpoint": "localhost:4317"}, "endpoint: must begin with http:// or https://"),
        ({"endpoint": "https://me:secret@host"}, "no credentials; set OTEL_EXPORTER_OTLP_HEADERS"),
        *(
            ({"endpoint": f"http://{rest}"}, "must name a host")
            for rest in ("", ":1", "h:x", "[", "a b")
        ),
        *(
            ({"endpoint": f"{NOWHERE}{rest}"}, "must be what comes before /v1/traces")
            for rest in ("/v1/traces", "/v1/traces/", "?token=secret", "#x")
        ),
        ({"ratio": 1.5}, "ratio: must be from 0 to 1"),
        ({"ratio": -1}, "ratio: must be from 0 to 1"),
        ({"flush": "soon"}, "flush"),
        ({"endpont": "http://x"}, "did you mean 'endpoint'"),
    ],
)
def test_a_bad_setting_stops_the_start(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as stopped:
        start(**section)
    assert "secret" not in str(stopped.value)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "speaks 'http/protobuf' alone"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "speaks 'http/protobuf' alone"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "only 'otlp' and 'none'"),
    ],
)
def test_an_environment_that_asks_for_more_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=said):
        start(endpoint=NOWHERE)


@pytest.mark.parametrize(
    "variable", ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"]
)
@pytest.mark.parametrize(
    "value", ["secret", "Authorization: Bearer secret", "a=b,x y=secret", 'a="secret"', "a=se;cret"]
)
def test_headers_that_could_not_be_read_stop_the_start_and_are_not_quoted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"{variable}: must be name=value") as stopped:
        start(endpoint=NOWHERE)
    assert "secret" not in str(stopped.value) + caplog.text


@pytest.mark.parametrize(
    "value", ["", "Authorization=Bearer secret", "api-key = a%20=b , x=Basic YTpi==,"]
)
def test_headers_are_sent_as_the_sdk_reads_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", value)
    assert wanted(NOWHERE)
    parse_env_headers(value, liberal=True)
    assert caplog.text == ""
