"""Who everybody is while no authenticator plugin is installed: on loopback only."""

from streamer_core.app import Streamer
from streamer_core.errors import ConfigurationError
from streamer_core.model.principal import ADMIN_SCOPE, OPERATOR_SCOPE, PRIORITY_SCOPE, Principal
from streamer_plugin_local.origin import is_loopback
from streamer_plugin_local.settings import LocalSettings


def has_authenticator(app: Streamer) -> bool:
    """Tell whether a plugin other than this one says who a client is."""
    implementations = app.hooks.hook.streamer_authenticate.get_hookimpls()
    return any(one.plugin_name != "local" for one in implementations)


def check_identity(app: Streamer, settings: LocalSettings) -> bool:
    """Tell whether the development principal is in force.

    Raises:
        ConfigurationError: nobody says who a client is, and clients may come from elsewhere.
    """
    if has_authenticator(app):
        return False
    if not is_loopback(settings.host):
        raise ConfigurationError(
            f"[plugins.local] host = {settings.host!r}: others can reach it, and no plugin "
            f"authenticates them; try: pip install streamer-plugin-jwt, or bind to 127.0.0.1"
        )
    return True


def development_principal(app: Streamer, settings: LocalSettings) -> Principal:
    """Give the one principal: it may call every handler, steer every request, and ask for all."""
    own = {ADMIN_SCOPE, OPERATOR_SCOPE, PRIORITY_SCOPE, *settings.principal.scopes}
    return Principal(
        user=settings.principal.user,
        tenant=settings.principal.tenant,
        scopes=app.registry.scopes | own,
    )
