"""Dead letters: what failed for good, kept for its operator, to look at, redrive or discard."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from streamer_core.errors import ConfigurationError, ItemTooLarge, StoreError
from streamer_core.log import get_logger
from streamer_core.markers import hookimpl
from streamer_core.model.call import Health, Panel
from streamer_core.model.manifest import Manifest
from streamer_core.model.request import Failure, Request, Status, joined
from streamer_plugin_dlq.settings import DlqSettings

if TYPE_CHECKING:
    from streamer_plugin_dlq.collecting import Collector
    from streamer_plugin_dlq.keeper import Keeper
    from streamer_plugin_dlq.letters import Letters

__all__ = ["DlqPlugin"]

_FLUSH_S = 1.0


class DlqPlugin:
    """Keeps dead letters in the store, and brings `streamer dlq`."""

    Settings = DlqSettings

    manifest = Manifest()

    def __init__(self, settings: DlqSettings, app: Any) -> None:
        if settings.queues:
            _need_botocore()
        self.settings = settings
        self._app = app

    @hookimpl
    def streamer_on_dead_letter(self, request: Request, failure: Failure) -> None:
        """Have a failed request kept."""
        failures = joined(request.failures, failure)
        if self._keeper.take(request.changed(status=Status.FAILED, failures=failures)):
            self._count(request.action, failure.code)

    @hookimpl
    def streamer_on_sweep(self) -> None:
        """Keep what nobody was told of, and what lies in the queues."""
        from streamer_plugin_dlq import rounds  # noqa: PLC0415 - for whoever sweeps

        missed = rounds.look(self._app.store, self._app.clock, self._keep_missed)
        if missed:
            get_logger().warning("dead letters were missed, and are kept now", missed=missed)
        if self.settings.queues:
            self._collector.round()

    @hookimpl(tryfirst=True)
    def streamer_park(self, record: Mapping[str, Any], error: str) -> bool | None:
        """Keep a record that nobody can read; where the store fails, the next may."""
        from streamer_plugin_dlq import entry  # noqa: PLC0415

        letter = entry.of_record(record, error, self._app.clock.now(), self.settings)
        try:
            if self.letters.keep(letter):
                self._count("none", entry.UNREADABLE)
        except StoreError:
            get_logger().exception("a record could not be kept as a dead letter")
            return None
        return True

    @hookimpl
    def streamer_register_commands(self, cli: Any) -> None:
        """Add `streamer dlq`."""
        from streamer_plugin_dlq.command import dlq  # noqa: PLC0415 - click is an extra

        cli.add_command(dlq(self.settings))

    @hookimpl
    def streamer_register_panels(self) -> Iterable[Panel]:
        """Show the newest."""
        from streamer_plugin_dlq import panel  # noqa: PLC0415

        return [Panel(name="dlq", title="Dead letters", rows=lambda: panel.rows(self.letters))]

    @hookimpl
    def streamer_health(self) -> Health:
        """Say how many wait to be kept by this process; many are left to the sweeper."""
        from streamer_plugin_dlq.keeper import MOST_WAITING  # noqa: PLC0415

        waiting = self._keeper.waiting
        return Health(
            name="dead letters",
            ok=True,
            degraded=waiting >= MOST_WAITING,
            detail=f"{waiting} wait to be kept",
        )

    @hookimpl
    def streamer_on_flush(self) -> None:
        """Wait until what was told of is kept."""
        self._keeper.flush(_FLUSH_S)

    @hookimpl
    def streamer_shutdown(self) -> None:
        """End the thread."""
        self._keeper.close()

    @cached_property
    def letters(self) -> "Letters":
        """Give the dead letters of the application's store."""
        from streamer_plugin_dlq.letters import Letters  # noqa: PLC0415

        return Letters(self._app.store, self._app.clock, self.settings.keep)

    @cached_property
    def _keeper(self) -> "Keeper":
        from streamer_plugin_dlq.keeper import Keeper  # noqa: PLC0415

        return Keeper(self._keep)

    @cached_property
    def _collector(self) -> "Collector":
        from streamer_plugin_dlq.collecting import Collector  # noqa: PLC0415

        return Collector(self.letters, self.settings, self._app)

    def _keep(self, request: Request) -> bool:
        from streamer_plugin_dlq import entry  # noqa: PLC0415

        return self.letters.keep(entry.of_request(request, self.settings))

    def _keep_missed(self, request: Request) -> bool:
        try:
            missed = self._keep(request)
        except Exception as error:
            if isinstance(error, StoreError) and not isinstance(error, ItemTooLarge):
                raise  # the next round begins where this one did
            get_logger().exception("dead letter could not be kept", ref=request.ref)
            return False
        if missed:
            self._count(request.action, request.failures[-1].code)
        return missed

    def _count(self, action: str, code: str) -> None:
        self._app.runtime.measure("dlq.kept", tags={"action": action, "code": code})


def _need_botocore() -> None:
    from importlib.util import find_spec  # noqa: PLC0415 - with queues alone

    if find_spec("botocore") is None:
        raise ConfigurationError(
            '[plugins.dlq] queues needs botocore; try: pip install "streamer-plugin-dlq[sqs]"'
        )
