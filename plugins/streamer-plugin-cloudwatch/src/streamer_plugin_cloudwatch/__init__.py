"""Streamer's metrics for Amazon CloudWatch: lines in its Embedded Metric Format, no call of an API.

Measurements are added up in memory, and written when an event is over, or an interval.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from streamer_core.markers import hookimpl
from streamer_core.model.call import Health, Metric
from streamer_core.model.manifest import Manifest
from streamer_plugin_cloudwatch.settings import CloudWatchSettings

if TYPE_CHECKING:
    from streamer_plugin_cloudwatch.writer import Writer

__all__ = ["CloudWatchPlugin"]

_ON_LAMBDA = "AWS_LAMBDA_FUNCTION_NAME"


class CloudWatchPlugin:
    """Takes every measurement, and brings `streamer cloudwatch template`.

    On Lambda its lines go to standard output; elsewhere it is off until `to` says where they go.
    """

    Settings = CloudWatchSettings

    manifest = Manifest()

    streamer_on_metric: Callable[[Metric], None] | None = None
    """That of `Totals`, or of `Naming` before it. None where it is off: where nobody takes
    measurements, none are made."""

    def __init__(self, settings: CloudWatchSettings, app: Any) -> None:
        self._settings = settings
        to = settings.to or ("stdout" if os.environ.get(_ON_LAMBDA) else None)
        self._writer: Writer | None = None
        if to is not None:
            from streamer_plugin_cloudwatch import writer  # noqa: PLC0415 - not where it is off

            self._writer = writer.Writer(settings, to, app)
            take = self._writer.totals.streamer_on_metric
            if settings.named:
                from streamer_plugin_cloudwatch import who  # noqa: PLC0415 - for whoever asks

                take = who.Naming(settings.named, take).streamer_on_metric
            self.streamer_on_metric = take

    @hookimpl
    def streamer_startup(self) -> None:
        """Write at each interval from now on."""
        if self._writer is not None:
            self._writer.start()

    @hookimpl
    def streamer_on_circuit_change(self, name: str, after: str) -> None:
        """Count it."""
        if self._writer is not None:
            tags = {"circuit": name, "state": after}
            self._writer.totals.streamer_on_metric(Metric(name="circuit.change", tags=tags))

    @hookimpl
    def streamer_on_flush(self) -> None:
        """Write what was added up."""
        if self._writer is not None:
            self._writer.write()

    @hookimpl
    def streamer_health(self) -> Health | None:
        """Say whether lines could be written; nothing where it is off."""
        return self._writer.health() if self._writer is not None else None

    @hookimpl
    def streamer_shutdown(self) -> None:
        """Write the rest."""
        if self._writer is not None:
            self._writer.close()

    @hookimpl
    def streamer_register_commands(self, cli: Any) -> None:
        """Add `streamer cloudwatch`."""
        from streamer_plugin_cloudwatch.command import cloudwatch  # noqa: PLC0415 - click

        cli.add_command(cloudwatch(self._settings))
