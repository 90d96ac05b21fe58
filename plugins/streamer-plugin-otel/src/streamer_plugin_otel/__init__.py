"""One OpenTelemetry trace for each request: its message, the queue, every attempt, every push.

Nothing of OpenTelemetry is imported before it is known that somebody takes the traces.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from streamer_core.plugin import (
    Call,
    Connection,
    Delivery,
    Health,
    Manifest,
    Message,
    Ms,
    Push,
    Request,
    Status,
    hookimpl,
    record,
)
from streamer_plugin_otel.address import wrong_with
from streamer_plugin_otel.off import Off

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from streamer_plugin_otel.flushing import Flushing
    from streamer_plugin_otel.provider import Exporter
    from streamer_plugin_otel.tracing import Tracing

__all__ = ["OtelPlugin"]


class OtelPlugin:
    """Makes the spans; off where neither settings nor environment say where they go."""

    @record
    class Settings:
        """`[plugins.otel]`.

        Args:
            endpoint: of the collector, as OTEL_EXPORTER_OTLP_ENDPOINT, which counts where this is
                left out: `http://127.0.0.1:4318`.
            ratio: the share of the traces that are kept, 0 to 1, where the caller has not decided;
                left out: what OTEL_TRACES_SAMPLER says, else all.
            flush: how long an answer, or an end, waits at most for spans to be sent.
        """

        endpoint: str | None = None
        ratio: float | None = None
        flush: Ms = 500

        def __post_init__(self) -> None:
            if self.endpoint is not None and (wrong := _wrong_with(self.endpoint)):
                raise ValueError(f"endpoint: {wrong}")
            if self.ratio is not None and not 0 <= self.ratio <= 1:
                raise ValueError("ratio: must be from 0 to 1")

    manifest = Manifest()

    def __init__(self, settings: Settings, app: Any) -> None:
        self.settings = settings
        self._app = app
        self._tracing: Tracing | Off = Off()
        self._flushing: Flushing | Off = Off()
        self._exporter: Exporter | None = None

    @hookimpl
    def streamer_startup(self) -> None:
        """Begin, where somebody takes the spans; else step aside, and cost no message anything."""
        from streamer_plugin_otel.wanted import own_provider, wanted  # noqa: PLC0415

        if not wanted(self.settings.endpoint):
            self._app.hooks.unregister(self)
            return
        from streamer_plugin_otel.flushing import Flushing  # noqa: PLC0415
        from streamer_plugin_otel.tracing import Tracing  # noqa: PLC0415

        provider = own_provider() or self._set_up()
        # An application's own provider has samplers of its own.
        self._exporter = getattr(provider, "streamer_exporter", None)
        self._tracing = Tracing(provider, getattr(provider, "streamer_ratio", None))
        self._flushing = Flushing(provider, self.settings.flush / 1000)

    def _set_up(self) -> "TracerProvider":
        from streamer_plugin_otel.provider import set_up  # noqa: PLC0415

        return set_up(self.settings.endpoint, self.settings.ratio)

    @hookimpl
    def streamer_around_message(
        self, request: Message, connection: Connection
    ) -> AbstractContextManager[None] | None:
        """Trace the taking of a message."""
        return self._tracing.receiving(request, connection.principal.tenant)

    @hookimpl
    def streamer_metadata(self, request: Request) -> Mapping[str, str]:
        """Give the context that every later process goes on from."""
        return self._tracing.context_for(request)

    @hookimpl(wrapper=True)
    def streamer_enqueue(self, requests: Sequence[Request]) -> Generator[None, Any, Any]:
        """Trace the write that stores requests."""
        with self._tracing.storing(requests) as stored:
            answers = yield
            stored(answers)
            return answers

    @hookimpl
    def streamer_around_call(self, call: Call) -> AbstractContextManager[None] | None:
        """Trace an attempt; what its handler traces is under it."""
        return self._tracing.running(call)

    @hookimpl(wrapper=True)
    def streamer_deliver(
        self, pushes: Sequence[Push]
    ) -> Generator[None, Sequence[Mapping[str, Delivery]], Sequence[Mapping[str, Delivery]]]:
        """Trace pushes, under the attempt that made them."""
        with self._tracing.pushing(pushes) as pushed:
            verdicts = yield
            pushed(verdicts)
            return verdicts

    @hookimpl
    def streamer_on_transition(
        self, request: Request, before: Status | None, after: Status
    ) -> None:
        """Forget an attempt that is over; end it where its handler has not returned."""
        if before is Status.PROCESSING:
            self._tracing.left(request, after)

    @hookimpl
    def streamer_health(self) -> Health | None:
        """Say how the last export went; nothing where the application exports by itself."""
        if self._exporter is None:
            return None
        went_well = self._exporter.went_well
        said = {None: "none yet", True: "went well", False: "failed"}[went_well]
        degraded = went_well is False
        return Health(name="traces", ok=True, degraded=degraded, detail=f"last export: {said}")

    @hookimpl
    def streamer_on_flush(self) -> None:
        """Send what is gathered, and wait for it no longer than the setting says."""
        self._flushing.flush()


def _wrong_with(endpoint: str) -> str | None:
    if wrong := wrong_with(endpoint):
        return wrong
    parts = urlsplit(endpoint)
    if "@" in parts.netloc:
        return "must hold no credentials; set OTEL_EXPORTER_OTLP_HEADERS"
    if parts.query or parts.fragment or parts.path.rstrip("/").endswith("/v1/traces"):
        return "must be what comes before /v1/traces, which is added"
    return None
