"""The hooks of the local gateway."""

from typing import TYPE_CHECKING, Any

from streamer_core.markers import hookimpl
from streamer_core.model.call import Health
from streamer_core.model.connection import Handshake
from streamer_core.model.handler import HandlerSpec
from streamer_core.model.message import Mode
from streamer_core.model.principal import Principal
from streamer_core.ports import Change, Transport
from streamer_core.ports.detached import Detached
from streamer_plugin_local.settings import LocalSettings

if TYPE_CHECKING:
    from streamer_plugin_local.link import Link


class LocalPlugin:
    """Brings `streamer dev`, and answers for the processes that it starts."""

    Settings = LocalSettings

    def __init__(self, settings: LocalSettings, app: Any) -> None:
        self.settings = settings
        self.link: Link | None = None
        self._app = app

    @hookimpl
    def streamer_register_commands(self, cli: Any) -> None:
        """Add `streamer dev`."""
        from streamer_plugin_local.command import dev  # noqa: PLC0415 - click is an extra

        cli.add_command(dev)

    @hookimpl
    def streamer_open_transport(self, name: str) -> Transport | None:
        """Open `local` for a process that is not the gateway's, such as a command."""
        if name != "local":
            return None
        return Detached()

    @hookimpl(trylast=True)
    def streamer_authenticate(self, handshake: Handshake) -> Principal | None:  # noqa: ARG002
        """Give the development principal, where no other plugin says who a client is."""
        if self.link is None or not self.link.worker:
            return None
        from streamer_plugin_local.identity import (  # noqa: PLC0415
            check_identity,
            development_principal,
        )

        if not check_identity(self._app, self.settings):
            return None
        return development_principal(self._app, self.settings)

    @hookimpl
    def streamer_on_request(self, handler: HandlerSpec, mode: Mode) -> None:
        """Tell the worker what it is about to run, before it does."""
        if self.link is not None and mode is Mode.SYNC:
            self.link.about_to_run(handler)

    @hookimpl
    def streamer_dispatch(self, change: Change) -> bool | None:
        """Wake a worker process."""
        return self._wake(change)

    @hookimpl
    def streamer_schedule(self, change: Change) -> bool | None:
        """Wake a worker process when it is due."""
        return self._wake(change)

    @hookimpl
    def streamer_health(self) -> Health | None:
        """Say how the worker processes are."""
        return self.link.health() if self.link else None

    def _wake(self, change: Change) -> bool | None:
        if self.link is None:
            return None
        self.link.wake(change.due_at)
        return True
