"""Adds up, and writes: when it is told to, and each interval from a thread of its own."""

import threading
from typing import Any

from streamer_core.log import get_logger
from streamer_core.model.call import Health
from streamer_core.ports import Clock
from streamer_plugin_cloudwatch import emf
from streamer_plugin_cloudwatch.output import ToFile, output_for
from streamer_plugin_cloudwatch.settings import CloudWatchSettings
from streamer_plugin_cloudwatch.totals import Totals

_END_S = 5.0


class Writer:
    """One process's measurements on their way out.

    Args:
        settings: the plugin's section.
        to: where lines go.
        app: the application, whose clock stamps them.

    Attributes:
        totals: takes measurements.
    """

    def __init__(self, settings: CloudWatchSettings, to: str, app: Any) -> None:
        self._settings = settings
        self._output = output_for(to, app.settings.root)
        self._clock: Clock = app.clock
        self.totals = Totals(settings.most_values)
        self._failed = False
        self._writing = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cloudwatch", daemon=True)

    def start(self) -> None:
        """Begin to write at each interval.

        Raises:
            ConfigurationError: nothing can be written.
        """
        if isinstance(self._output, ToFile):
            self._output.check()
        self._thread.start()

    def write(self) -> None:
        """Write what there is, once another thread has written what it took.

        Raises:
            OSError: it could not be written, and is lost: memory is bounded.
        """
        with self._writing:
            self._write()

    def _write(self) -> None:
        collected = self.totals.collected()
        if not collected:
            return
        lines = emf.lines(
            collected,
            namespace=self._settings.namespace,
            now=self._clock.now(),
            dimensions=self._settings.dimensions,
        )
        failed = True
        try:
            self._output(lines)
            failed = False
        finally:
            self._failed = failed

    def health(self) -> Health:
        """Tell whether the last write went well."""
        detail = "the last lines could not be written" if self._failed else "written"
        return Health(name="metrics", ok=True, degraded=self._failed, detail=detail)

    def close(self) -> None:
        """End the thread, and write the rest."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join(_END_S)
        self.write()

    def _run(self) -> None:
        while not self._ending.wait(self._settings.interval / 1000):
            try:
                self.write()
            except Exception:  # noqa: BLE001 - the next interval may do better
                get_logger().exception("metrics could not be written")
