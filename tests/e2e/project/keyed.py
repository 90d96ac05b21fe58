"""An authenticator, as a plugin from elsewhere: knows one key, and breaks over another."""

from typing import Any

from pydantic import BaseModel

from streamer_core.errors import Unauthorized
from streamer_core.markers import hookimpl
from streamer_core.model.connection import Handshake
from streamer_core.model.manifest import Manifest
from streamer_core.model.principal import ADMIN_SCOPE, Principal


class KeyedPlugin:
    """Lets in whose token begins with `good`; raises for `broken`; refuses all others."""

    class Settings(BaseModel):
        """None."""

    manifest = Manifest()

    def __init__(self, settings: Settings, app: Any) -> None:
        self.settings = settings

    @hookimpl
    def streamer_authenticate(self, handshake: Handshake) -> Principal | None:
        """Look at how the token begins."""
        token = handshake.token
        if token is None:
            return None
        if token.startswith("broken"):
            raise RuntimeError("the authenticator is broken")
        if not token.startswith("good"):
            raise Unauthorized("The key is not known")
        return Principal(user="ada", scopes=frozenset({ADMIN_SCOPE}), claims={"key": token})
