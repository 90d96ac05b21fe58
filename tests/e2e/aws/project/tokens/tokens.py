"""Who a client is: the token `<tenant>.<user>`, and what it may, `.<scope>`, where it is more.

An authenticator to test with, and for no other use.
"""

from typing import Any

from streamer_core.errors import Unauthorized
from streamer_core.markers import hookimpl
from streamer_core.model.connection import Handshake
from streamer_core.model.principal import Principal


class TokensPlugin:
    def __init__(self, settings: Any, app: Any) -> None:
        pass

    @hookimpl
    def streamer_authenticate(self, handshake: Handshake) -> Principal | None:
        if handshake.token is None:
            return None
        tenant, _, rest = handshake.token.partition(".")
        user, *scopes = rest.split(".")
        if not user:
            raise Unauthorized("The token is not good")
        return Principal(user=user, tenant=tenant, scopes=frozenset(scopes))
