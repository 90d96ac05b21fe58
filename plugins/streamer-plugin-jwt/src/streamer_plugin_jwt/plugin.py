"""The hooks."""

from functools import cached_property
from typing import Any

from streamer_core.errors import Unauthorized
from streamer_core.log import get_logger
from streamer_core.markers import hookimpl
from streamer_core.model.call import Health
from streamer_core.model.connection import GOING_AWAY, Connection, Handshake
from streamer_core.model.principal import Principal
from streamer_core.ports import Clock
from streamer_core.settings import Settings
from streamer_plugin_jwt.denylist import Denylist
from streamer_plugin_jwt.settings import JwtSettings
from streamer_plugin_jwt.tokens import BadToken, looks_like_one
from streamer_plugin_jwt.verifier import Verifier

_LOOK_S = 0.8
"""How long a look at the health waits for what reads keys, and for all keys that are fetched."""


class JwtPlugin:
    """Knows clients by signed tokens, revokes these, and issues some for development."""

    Settings = JwtSettings

    def __init__(self, settings: JwtSettings, app: Any) -> None:
        self.settings = settings
        self.core_settings: Settings = app.settings
        self.clock: Clock = app.clock
        self._app = app
        self.verifier = Verifier(settings, app.settings.root, app.clock)

    @cached_property
    def denylist(self) -> Denylist:
        """What was revoked; the store is open when it is first asked for."""
        return Denylist(self._app.store, self._app.clock, self.settings)

    @hookimpl
    def streamer_authenticate(self, handshake: Handshake) -> Principal | None:
        """Answer for all that has the shape of a token; leave the rest to others."""
        token = handshake.token
        if token is None or not looks_like_one(token):
            return None
        try:
            principal = self.verifier.verify(token)
        except BadToken as error:
            get_logger().info("token refused", reason=str(error))
            raise Unauthorized("The token is not good") from None
        if self.denylist.is_revoked(principal):
            get_logger().info("token refused", reason="revoked")
            raise Unauthorized("The token is not good")
        return principal

    @hookimpl
    def streamer_limit(self, principal: Principal, connection: Connection, request: Any) -> None:
        """Refuse messages of a connection whose token was revoked since it was opened."""
        if request is not None and self.denylist.was_revoked(principal, connection.connected_at):
            raise Unauthorized("The token was revoked", close=(GOING_AWAY, "revoked"))

    @hookimpl
    def streamer_on_sweep(self) -> None:
        """End the connections of tokens that were revoked lately."""
        self.denylist.end_connections(self._app.dismiss)

    @hookimpl
    def streamer_health(self) -> Health | None:
        """Say how old the keys are, and whether they can be fetched."""
        began = self._app.clock.monotonic()
        if not self.verifier.is_ready(_LOOK_S):
            return Health(name="jwt", ok=True, detail="the keys are not read yet")
        left_s = max(0.0, _LOOK_S - (self._app.clock.monotonic() - began))
        sets = self.verifier.key_sets()
        states = [one.state(left_s / len(sets)) for one in sets]
        return Health(
            name="jwt",
            ok=all(one.ok for one in states),
            degraded=any(one.degraded for one in states),
            detail="; ".join(one.said for one in states),
            latency_ms=(self._app.clock.monotonic() - began) * 1000,
        )

    @hookimpl
    def streamer_register_commands(self, cli: Any) -> None:
        """Add `streamer token` and `streamer jwt`."""
        from streamer_plugin_jwt.command import commands  # noqa: PLC0415 - click is an extra

        for command in commands(self):
            cli.add_command(command)
