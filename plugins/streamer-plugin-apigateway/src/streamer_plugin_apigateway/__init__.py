"""Streamer on AWS: API Gateway's WebSocket APIs in front, Lambda functions behind, SQS for timers.

Nothing of boto3 is imported before it is needed: a router that answers by itself never sends.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from streamer_core.markers import hookimpl
from streamer_core.model.call import Outgoing
from streamer_core.model.manifest import Manifest
from streamer_core.ports import Change, Transport
from streamer_plugin_apigateway.settings import ApiGatewaySettings

if TYPE_CHECKING:
    from streamer_plugin_apigateway.waking import Waker

__all__ = ["ApiGatewayPlugin"]


class ApiGatewayPlugin:
    """Opens the transport named `apigateway`, wakes workers, and has events sent to many."""

    Settings = ApiGatewaySettings

    manifest = Manifest()

    def __init__(self, settings: ApiGatewaySettings, app: Any) -> None:
        self.settings = settings
        self._app = app

    @hookimpl
    def streamer_open_transport(self, name: str) -> Transport | None:
        """Open the way to the management API, where the transport asked for is this one."""
        if name != "apigateway":
            return None
        from streamer_plugin_apigateway.transport import open_transport  # noqa: PLC0415

        return open_transport(self.settings)

    @hookimpl
    def streamer_dispatch(self, change: Change) -> bool | None:
        """Wake a worker function."""
        if self.settings.worker_of(change.lane) is None:
            return None
        return self._waker.wake(change)

    @hookimpl
    def streamer_schedule(self, change: Change) -> bool | None:
        """Have a worker woken by SQS; False where the time is further off than SQS can wait."""
        if self.settings.timers is None:
            return None
        return self._waker.wake_later(change, self._app.clock.now())

    @hookimpl
    def streamer_fan_out(self, event: Outgoing, connections: Sequence[str]) -> bool | None:
        """Have the notifier function send an event to many."""
        if self.settings.notifier is None or len(connections) <= self.settings.fan_out:
            return None
        if left := self._waker.fan_out(event, connections):
            self._app.send(event, left)
        return True

    @hookimpl
    def streamer_lambda_entries(self, app: Any) -> Mapping[str, Any]:
        """Bring the functions that serve a WebSocket, for an application of this process."""
        from streamer_plugin_apigateway import entries  # noqa: PLC0415

        return {
            "connect": lambda event, _: entries.connected(app, event),
            "disconnect": lambda event, _: entries.disconnected(app, event),
            "router": lambda event, _: entries.routed(app, event),
        }

    @hookimpl
    def streamer_park(self, record: Mapping[str, Any]) -> bool | None:
        """Send a record that nobody can read to the queue for those, where there is one."""
        if self.settings.parking is None:
            return None
        self._waker.park(record)
        return True

    @cached_property
    def _waker(self) -> "Waker":
        from streamer_plugin_apigateway.waking import Waker  # noqa: PLC0415

        return Waker(self.settings)
